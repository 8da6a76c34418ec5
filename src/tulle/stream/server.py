"""Serves xDS over gRPC: carries requests to sessions and their responses back.

Responses leave as bytes, and one wake-up of a stream covers everything that changed, so that pushing one change to
many streams costs little per stream.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar
from uuid import uuid4

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.peer import Peer, peer_of
from tulle.stream.protocol import Event, Limits, Oversized, ProtocolError, Source
from tulle.stream.session import DeltaSession
from tulle.stream.sotw import SotwSession

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
FIRST_REQUEST_SECONDS: Final = 30.0
_MAX_REQUEST_BYTES: Final = 16 * 2**20
_MAX_NODE_ID: Final = 1_024

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # A peer that vanished without a word is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Clients may ping as often, or they would be cut off for it.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
    # Who says nothing has not proved who it is.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Two servers on one port would share its connections out at random.
    ("grpc.so_reuseport", 0),
)

Request = TypeVar("Request", discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DiscoveryRequest)
DeltaContext: TypeAlias = "grpc.aio.ServicerContext[discovery_pb2.DeltaDiscoveryRequest, bytes]"
SotwContext: TypeAlias = "grpc.aio.ServicerContext[discovery_pb2.DiscoveryRequest, bytes]"
RequestIn = TypeVar("RequestIn", contravariant=True)


class Refused(Exception):
    """The client may not have a stream; the message says why, and it is told."""


class Session(Protocol[RequestIn]):
    """What both protocols' sessions do; see DeltaSession."""

    def receive(self, request: RequestIn) -> tuple[Event, ...]: ...
    def changed(self, names: Iterable[tuple[str, str]]) -> None: ...
    def roots_changed(self, type_url: str) -> None: ...
    @property
    def has_work(self) -> bool: ...
    def next_response(self) -> bytes | None: ...
    def take_oversized(self) -> tuple[Oversized, ...]: ...
    def acknowledged(self, type_url: str) -> dict[str, str]: ...
    def subscriptions(self, type_url: str) -> frozenset[str]: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def in_sync(self) -> bool: ...


class Stream(Protocol):
    """One client's stream, as its host sees it. To be used from the event loop only."""

    @property
    def node(self) -> base_pb2.Node:
        """Who the client says it is, fixed by its first request. Only `peer` is proven."""
        ...

    @property
    def peer(self) -> Peer: ...

    @property
    def in_sync(self) -> bool: ...

    def changed(self, names: Iterable[tuple[str, str]]) -> None:
        """These resources (type URL, name) may answer differently now."""
        ...

    def roots_changed(self, type_url: str) -> None: ...

    def acknowledged(self, type_url: str) -> dict[str, str]: ...

    def subscriptions(self, type_url: str) -> frozenset[str]: ...

    def close(self) -> None:
        """Ends the stream once the client has been sent something, and all that there is to send now."""
        ...

    def refuse(self, reason: str) -> None:
        """Ends the stream at once; the client is told the reason."""
        ...


class StreamHost(Protocol):
    """Who serves the streams: the control plane or the relay. Called from the event loop; must not block."""

    def open(self, stream: Stream) -> Source:
        """Raises Refused."""
        ...

    def event(self, stream: Stream, event: Event) -> None: ...

    def closed(self, stream: Stream) -> None:
        """The stream is gone. Called once for each `open` that did not raise."""
        ...


class XdsService:
    """The Aggregated Discovery Service, both variants. Add `handler` to a grpc.aio server made with SERVER_OPTIONS."""

    def __init__(self, host: StreamHost, limits: Limits | None = None) -> None:
        self._host = host
        self._limits = limits or Limits()
        self._streams: Counter[str | None] = Counter()  # by the peer's SPIFFE ID

    @property
    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._delta, request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString
                ),
                "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._sotw, request_deserializer=discovery_pb2.DiscoveryRequest.FromString
                ),
            },
        )

    async def _delta(self, _: object, context: DeltaContext) -> None:
        await self._serve(context, DeltaSession)

    async def _sotw(self, _: object, context: SotwContext) -> None:
        await self._serve(context, SotwSession)

    async def _serve(
        self,
        context: grpc.aio.ServicerContext[Request, bytes],
        session: Callable[[Source, str, Limits], Session[Request]],
    ) -> None:
        peer = peer_of(context.peer(), context.auth_context())
        if peer is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a certificate with one SPIFFE ID is needed")
            return
        if self._streams[peer.spiffe_id] >= self._limits.streams:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._limits.streams} streams are open")
            return
        self._streams[peer.spiffe_id] += 1
        try:
            await self._converse(context, peer, session)
        finally:
            self._streams[peer.spiffe_id] -= 1
            if not self._streams[peer.spiffe_id]:
                del self._streams[peer.spiffe_id]

    async def _converse(
        self,
        context: grpc.aio.ServicerContext[Request, bytes],
        peer: Peer,
        session: Callable[[Source, str, Limits], Session[Request]],
    ) -> None:
        first = await _first_request(context)
        if first is None:
            return
        stream: _Stream[Request] = _Stream(context, peer, first.node, self._host)
        try:
            source = self._host.open(stream)
        except Refused as refused:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refused))
            return
        try:
            await stream.run(session(source, uuid4().hex[:12] + "-", self._limits), first)
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Refused as refused:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refused))
        finally:
            self._host.closed(stream)


async def _first_request(
    context: grpc.aio.ServicerContext[Request, bytes],
) -> Request | None:
    """The first request, which says who the client is; None if the stream ended without one."""
    try:
        async with asyncio.timeout(FIRST_REQUEST_SECONDS):
            first = await context.read()
    except TimeoutError:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no request")
        return None
    if first is grpc.aio.EOF:
        return None
    if not 0 < len(first.node.id) <= _MAX_NODE_ID:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first request must say node.id")
    return first


class _Stream(Generic[Request]):
    """Reads requests in one task and writes responses in another, over one session."""

    def __init__(
        self, context: grpc.aio.ServicerContext[Request, bytes], peer: Peer, node: base_pb2.Node, host: StreamHost
    ) -> None:
        self._context = context
        self._peer = peer
        self._node = node
        self._host = host
        self._session: Session[Request] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reason = ""

    @property
    def node(self) -> base_pb2.Node:
        return self._node

    @property
    def peer(self) -> Peer:
        return self._peer

    @property
    def in_sync(self) -> bool:
        return self._session is not None and self._session.in_sync

    def changed(self, names: Iterable[tuple[str, str]]) -> None:
        if self._session is not None:
            self._session.changed(names)
            self._wake.set()

    def roots_changed(self, type_url: str) -> None:
        if self._session is not None:
            self._session.roots_changed(type_url)
            self._wake.set()

    def acknowledged(self, type_url: str) -> dict[str, str]:
        return self._session.acknowledged(type_url) if self._session is not None else {}

    def subscriptions(self, type_url: str) -> frozenset[str]:
        return self._session.subscriptions(type_url) if self._session is not None else frozenset()

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    def refuse(self, reason: str) -> None:
        if not self._refused.done():
            self._refused.set_result(None)
            self._reason = reason

    async def run(self, session: Session[Request], first: Request) -> None:
        """Serves until the client leaves, `close` is called, the client breaks the protocol (ProtocolError), or
        `refuse` is called (Refused)."""
        self._session = session
        name = self._node.id
        tasks: tuple[asyncio.Task[None], ...] = (
            asyncio.create_task(self._read(session, first), name=f"xds read {name}"),
            asyncio.create_task(self._write(session), name=f"xds write {name}"),
        )
        try:
            await asyncio.wait((*tasks, self._refused), return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._refused.done():
            raise Refused(self._reason)
        for task in ended:
            task.result()

    async def _read(self, session: Session[Request], request: Request) -> None:
        while request is not grpc.aio.EOF:
            for event in session.receive(request):
                self._host.event(self, event)
            # Most requests only acknowledge: waking the other task for each would be a fifth of a push.
            if session.has_work:
                self._wake.set()
            request = await self._context.read()

    async def _write(self, session: Session[Request]) -> None:
        anything = False
        while not (self._closing and anything):
            await self._wake.wait()
            self._wake.clear()
            while (response := session.next_response()) is not None:
                await self._context.write(response)
                anything = True
            for oversized in session.take_oversized():
                self._host.event(self, oversized)
