"""Many proxies' streams in a process of its own: each asks for what a proxy asks for, and takes everything at once.

Usage: python -m benchmarks.controlplane.callers <settings as JSON>. Prints Ready once nobody has been sent anything
for a while. Then a line on stdin, a type URL, makes it wait for one response of that type to everybody, and print
Arrived. Moments are those of time.monotonic(), which all processes of a machine share.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import msgspec
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from benchmarks.controlplane.resources import NAMESPACE, Size, authority, caller, calls, cluster, node
from benchmarks.controlplane.server import TRUST_DOMAIN
from tulle.identity.client import NodeCredentials, enrol, load, mtls_channel, save
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import parse_token
from tulle.stream.client import CLIENT_OPTIONS
from tulle.xds import type_urls

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_QUIET = 0.5
_TYPES_AT_START = 5
LIMIT = 60.0


class CallerSettings(Struct, frozen=True):
    """`tokens` lets the nodes enrol that have not yet."""

    directory: str
    size: Size
    port: int
    enrolment_port: int
    tokens: dict[str, str]


class Ready(Struct, frozen=True):
    """`filled` is how long it took from the first connection until everybody had everything, in seconds; `sent` the
    bytes that everybody got meanwhile."""

    filled: float
    sent: int


class Arrived(Struct, frozen=True):
    """When each caller had handed over its acknowledgement, and how many bytes all were sent."""

    moments: list[float]
    sent: int


class Callers:
    def __init__(self, settings: CallerSettings) -> None:
        self._settings = settings
        self._moments: list[float] = []
        self._awaited = ""
        self._all = asyncio.Event()
        self._sent = 0
        self._answers = 0
        self._last = time.monotonic()

    async def run(self) -> None:
        began = time.monotonic()
        credentials = [c async for c in self._credentials()]
        address = f"127.0.0.1:{self._settings.port}"
        # One channel a node, as its agent has.
        channels = {c.node.node: mtls_channel(c, address, CLIENT_OPTIONS) for c in credentials}
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            streams = [
                tasks.create_task(self._stream(number, channels[node(number)]), name=f"caller {number}")
                for number in range(self._settings.size.callers)
            ]
            await self._settle()
            _say(Ready(self._last - began, self._sent))
            while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
                self._awaited, self._moments, self._sent = line, [], 0
                self._all.clear()
                _say_text("waiting")
                try:
                    await asyncio.wait_for(self._all.wait(), LIMIT)
                except TimeoutError as error:
                    missing = self._settings.size.callers - len(self._moments)
                    raise TimeoutError(f"{missing} callers were not sent what they wait for") from error
                _say(Arrived(self._moments, self._sent))
            for stream in streams:
                stream.cancel()

    async def _credentials(self) -> AsyncIterator[NodeCredentials]:
        settings = self._settings
        names = dict.fromkeys(node(number) for number in range(settings.size.callers))
        for name in names:
            kept = Path(settings.directory) / "nodes" / name
            found = load(kept, NodeIdentity(TRUST_DOMAIN, name))
            if found is None:
                token = parse_token(settings.tokens[name])
                found = await enrol(token, f"127.0.0.1:{settings.enrolment_port}", name)
                kept.parent.mkdir(exist_ok=True)
                save(found, kept)
            yield found

    async def _settle(self) -> None:
        wanted = self._settings.size.callers * _TYPES_AT_START
        while self._answers < wanted or time.monotonic() - self._last < _QUIET:
            await asyncio.sleep(_QUIET / 10)

    async def _stream(self, number: int, channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(_METHOD)()
        for request in self._first_requests(number):
            await call.write(request)
        while (data := await call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            answer = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            await call.write(answer.SerializeToString())
            self._took(response.type_url, len(data))
        raise EOFError(f"the server has ended the stream of caller {number}: {await call.code()}")

    def _took(self, type_url: str, size: int) -> None:
        self._last = time.monotonic()
        self._sent += size
        self._answers += 1
        if type_url == self._awaited:
            self._moments.append(self._last)
            if len(self._moments) == self._settings.size.callers:
                self._all.set()

    def _first_requests(self, number: int) -> list[bytes]:
        services = calls(number, self._settings.size.services)
        wanted = {
            type_urls.CLUSTER: ["*", *map(cluster, services)],
            type_urls.ENDPOINTS: [*map(cluster, services)],
            type_urls.LISTENER: ["*"],
            type_urls.ROUTE_CONFIG: [NAMESPACE],
            type_urls.VIRTUAL_HOST: [f"{NAMESPACE}/{authority(service)}" for service in services],
        }
        node_id = base_pb2.Node(id=str(caller(number)))
        return [
            discovery_pb2.DeltaDiscoveryRequest(
                node=node_id, type_url=type_url, resource_names_subscribe=names
            ).SerializeToString()
            for type_url, names in wanted.items()
        ]


def _say(value: Struct) -> None:
    _say_text(msgspec.json.encode(value).decode())


def _say_text(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    asyncio.run(Callers(msgspec.json.decode(sys.argv[1], type=CallerSettings)).run())
