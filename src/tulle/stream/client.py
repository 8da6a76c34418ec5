"""Keeps one delta xDS stream to a server open: the agent's link to the control plane.

It reconnects for ever and yields what arrives; what the client wants survives the reconnects, and the caller decides
what it acknowledges, because it knows whether it could use what it got.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final, TypeAlias

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from tulle.stream.subscription import Subscriptions
from tulle.xds.resource import Resource

_METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_CONNECT_SECONDS: Final = 20.0

CLIENT_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # A server that vanished without a word is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 16 * 2**20),
    ("grpc.max_send_message_length", 16 * 2**20),
    # The channel's own back-off would otherwise grow to two minutes beneath ours.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Backoff(Struct, frozen=True):
    """How long to wait before connecting again, in seconds: the bound doubles from `first` up to `limit`, and the
    wait is drawn below it, so that clients that lost their server together do not return together.

    Source: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), full jitter.
    """

    first: float = 0.5
    limit: float = 15.0

    def delay(self, failures: int, chance: float) -> float:
        """The wait after `failures` attempts without a response (from 0); `chance` is uniform in 0..1."""
        return min(self.limit, self.first * 2 ** min(failures, 30)) * chance


class Connected(Struct, frozen=True):
    """A stream is open; everything that is wanted is being asked for."""


class Disconnected(Struct, frozen=True):
    """The stream ended. `code` is the gRPC status (`UNAVAILABLE`), `OK` where the server closed it in order."""

    code: str
    reason: str


class Update(Struct, frozen=True):
    """One response. `stream` counts the client's streams, so that an answer never reaches another stream."""

    stream: int
    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


Call: TypeAlias = "grpc.aio.StreamStreamCall[discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse]"
ClientEvent: TypeAlias = Connected | Disconnected | Update


class DeltaClient:
    """`dial` gives the channel for the next attempt, which stays the caller's (make it with CLIENT_OPTIONS); `held`
    gives the versions by name that the caller has of a type; `chance` draws uniformly from 0..1.

    Wishes and answers may be given at any time, from the event loop only. Run `events` once.
    """

    def __init__(
        self,
        dial: Callable[[], grpc.aio.Channel],
        node: base_pb2.Node,
        held: Callable[[str], Mapping[str, str]],
        chance: Callable[[], float],
        backoff: Backoff | None = None,
    ) -> None:
        self._dial = dial
        self._chance = chance
        self._backoff = backoff or Backoff()
        self._subscriptions = Subscriptions(node, held)
        self._wake = asyncio.Event()
        self._stream = 0
        self._failures = 0
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    def subscribe(self, type_url: str, names: Iterable[str]) -> None:
        """Wants `names` from now on (`*`: the wildcard); they are answered even if they were wanted already."""
        self._subscriptions.subscribe(type_url, names)
        self._wake.set()

    def unsubscribe(self, type_url: str, names: Iterable[str]) -> None:
        self._subscriptions.unsubscribe(type_url, names)
        self._wake.set()

    def wanted(self, type_url: str) -> frozenset[str]:
        return self._subscriptions.wanted(type_url)

    def ack(self, update: Update) -> None:
        self._answer(update, None)

    def nack(self, update: Update, message: str) -> None:
        self._answer(update, message)

    def _answer(self, update: Update, error: str | None) -> None:
        if update.stream == self._stream and self._connected:
            self._subscriptions.answer(update.type_url, update.nonce, error)
            self._wake.set()

    async def events(self) -> AsyncIterator[ClientEvent]:
        """What happens, for ever. Close the iterator (`contextlib.aclosing`) or cancel its task to hang up."""
        while True:
            try:
                async for event in self._one_stream():
                    yield event
                ended = Disconnected(grpc.StatusCode.OK.name, "the server closed the stream")
            except grpc.aio.AioRpcError as error:
                ended = Disconnected(error.code().name, error.details() or "")
            except asyncio.CancelledError:
                # grpc.aio raises this, too, where the server ended the stream with the status CANCELLED.
                ended = Disconnected(grpc.StatusCode.CANCELLED.name, "the server cancelled the stream")
            except TimeoutError:
                ended = Disconnected(grpc.StatusCode.UNAVAILABLE.name, f"no connection within {_CONNECT_SECONDS:g} s")
            # Whatever was raised: where the server has just gone, grpc.aio says so instead of that we were cancelled.
            if _is_cancelled():
                raise asyncio.CancelledError
            yield ended
            await asyncio.sleep(self._backoff.delay(self._failures, self._chance()))
            self._failures += 1

    async def _one_stream(self) -> AsyncIterator[ClientEvent]:
        """Yields until the server ends the stream in order. Raises AioRpcError, TimeoutError."""
        call = self._dial().stream_stream(
            _METHOD,
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )()
        writer: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await call.wait_for_connection()
            self._stream += 1
            self._connected = True
            self._subscriptions.restart()
            writer = asyncio.create_task(self._write(call), name="xds client write")
            yield Connected()
            while (response := await call.read()) is not grpc.aio.EOF:
                self._failures = 0
                yield read_update(self._stream, response)
        finally:
            self._connected = False
            call.cancel()
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    async def _write(self, call: Call) -> None:
        """Ends with the stream; why that ended is the reader's to find out."""
        try:
            while True:
                while (request := self._subscriptions.next_request()) is not None:
                    await call.write(request)
                await self._wake.wait()
                self._wake.clear()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def read_update(stream: int, response: discovery_pb2.DeltaDiscoveryResponse) -> Update:
    """The resources of a response with the versions its server gave them, ready to be sent on."""
    return Update(
        stream,
        response.type_url,
        response.nonce,
        tuple(_read_resource(response.type_url, envelope) for envelope in response.resources),
        tuple(response.removed_resources),
    )


def _read_resource(type_url: str, envelope: discovery_pb2.Resource) -> Resource:
    wire = discovery_pb2.DeltaDiscoveryResponse(resources=[envelope]).SerializeToString(deterministic=True)
    return Resource(type_url, envelope.name, envelope.version, envelope.resource.value, wire, tuple(envelope.aliases))
