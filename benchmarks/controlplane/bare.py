"""The floor: a gRPC server of the same kind that knows one response by heart and sends it when it is told to.

It has the same mutual TLS and the same streams, and nothing to decide.

Usage: python -m benchmarks.controlplane.bare <directory>, where the control plane's authority is. Prints its port; each
line on stdin (a type URL and a size) makes it send a response of that type with so many bytes to everybody.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from benchmarks.controlplane.server import TRUST_DOMAIN
from tulle.identity.ca import open_authority, server_certificate
from tulle.identity.server_credentials import mutual_credentials
from tulle.stream.server import SERVER_OPTIONS, SERVICE


class Bare:
    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    async def serve(self, _: object, context: grpc.aio.ServicerContext) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(queue)
        writing = asyncio.create_task(self._write(queue, context), name="write")
        try:
            while (request := await context.read()) is not grpc.aio.EOF:
                if request.resource_names_subscribe:
                    queue.put_nowait(_response(request.type_url, 0, 0))
        finally:
            self._queues.discard(queue)
            writing.cancel()

    async def _write(self, queue: "asyncio.Queue[bytes]", context: grpc.aio.ServicerContext) -> None:
        while True:
            await context.write(await queue.get())

    def push(self, response: bytes) -> None:
        for queue in self._queues:
            queue.put_nowait(response)


async def main(directory: Path) -> None:
    bare = Bare()
    now = datetime.now(UTC)
    certificate = server_certificate(open_authority(directory / "control", TRUST_DOMAIN, now), now)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(
        bare.serve, request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"DeltaAggregatedResources": handler}),)
    )
    port = server.add_secure_port("127.0.0.1:0", mutual_credentials(certificate))
    await server.start()
    print(port, flush=True)
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        type_url, size = line.split()
        number += 1
        bare.push(_response(type_url, number, int(size)))
    await server.stop(0)


def _response(type_url: str, number: int, size: int) -> bytes:
    resource = discovery_pb2.Resource(name="service", version=str(number))
    resource.resource.value = b"x" * size
    response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=str(number), resources=[resource])
    serialised: bytes = response.SerializeToString()
    return serialised


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
