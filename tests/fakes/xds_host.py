"""A StreamHost that serves every stream from one FakeSource and remembers what it was told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import Event, Limits, Source
from tulle.stream.server import SERVER_OPTIONS, Refused, Stream, XdsService


class FakeHost:
    def __init__(self, source: FakeSource) -> None:
        self.source = source
        self.streams: list[Stream] = []
        self.events: list[Event] = []
        self.happened = asyncio.Condition()
        self.closed_streams = 0
        self.refusal = ""

    def open(self, stream: Stream) -> Source:
        if self.refusal:
            raise Refused(self.refusal)
        self.streams.append(stream)
        return self.source

    def event(self, stream: Stream, event: Event) -> None:
        assert stream in self.streams
        self.events.append(event)
        self._tell()

    def closed(self, stream: Stream) -> None:
        self.streams.remove(stream)
        self.closed_streams += 1
        self._tell()

    async def until_closed(self, streams: int) -> None:
        async with asyncio.timeout(60), self.happened:
            await self.happened.wait_for(lambda: self.closed_streams >= streams)

    async def until(self, event: Event) -> None:
        """Waits for an event equal to `event`."""
        async with asyncio.timeout(60), self.happened:
            await self.happened.wait_for(lambda: event in self.events)

    def changed(self, *names: tuple[str, str]) -> None:
        for stream in self.streams:
            stream.changed(names)

    def _tell(self) -> None:
        self._task = asyncio.ensure_future(self._notify())

    async def _notify(self) -> None:
        async with self.happened:
            self.happened.notify_all()


@asynccontextmanager
async def serving(
    host: FakeHost, address: str, limits: Limits | None = None, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """Serves xDS at a gRPC address, over TLS where there are credentials; gives the port."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((XdsService(host, limits).handler,))
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
