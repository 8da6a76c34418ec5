"""Keeps one stream to the control plane open, and says when there is none.

Streams of all proxies share the agent's channel. Traffic may be waiting for an answer, so a lost stream is opened
again within seconds; with jitter, because a thousand agents lose theirs at the same time.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from tulle.agent.errors import UpstreamLost
from tulle.agent.upstream_messages import FromUpstream, ToUpstream, from_response, to_request

_log = logging.getLogger(__name__)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

# The channel reconnects by itself; its pauses are as short as those of the streams on it.
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # Half-open connections are found within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


class UpstreamTimes(Struct, frozen=True):
    """Seconds. `away`: how long without a stream until the control plane counts as away; `present`: how long a stream
    has to last until it is back, unless it answers sooner."""

    first_pause: float = 0.2
    longest_pause: float = 5
    connect: float = 5
    away: float = 1
    present: float = 0.3

    def pause(self, failures: int, jitter: float) -> float:
        """How long to wait after the `failures`-th failure in a row; `jitter` is from 0 to 1."""
        whole = min(self.first_pause * 2.0 ** min(failures - 1, 30), self.longest_pause)
        return whole * (0.5 + jitter / 2)


class Conversation(Protocol):
    """What is said on the stream, and who is told how it goes."""

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask for. Without, no stream is opened."""
        ...

    def opened(self) -> None:
        """A new stream: `Upstream.send` takes messages from now on."""
        ...

    def lost(self) -> None: ...

    def received(self, response: FromUpstream) -> None: ...

    def away(self, away: bool) -> None:
        """The control plane counts as away, or is back."""
        ...


class Upstream:
    """`node` is the xDS node id to speak for. `channel` gives the agent's present channel. `jitter`: 0 to 1."""

    def __init__(
        self,
        node: str,
        channel: Callable[[], grpc.aio.Channel],
        conversation: Conversation,
        jitter: Callable[[], float],
        times: UpstreamTimes = UpstreamTimes(),  # noqa: B008 (frozen)
    ) -> None:
        self._node = node
        self._channel = channel
        self._conversation = conversation
        self._jitter = jitter
        self._times = times
        self._outbox: asyncio.Queue[ToUpstream] | None = None
        self._asked = asyncio.Event()
        self._away: asyncio.TimerHandle | None = None
        self._present: asyncio.TimerHandle | None = None
        self._failures = 0
        self.connected = False

    def send(self, message: ToUpstream) -> None:
        """Queues a message for the stream that is open; without one it is dropped, the next stream starts anew."""
        if self._outbox is not None:
            self._outbox.put_nowait(message)

    def wake(self) -> None:
        """There may be something to ask for now."""
        if self._conversation.asks:
            self._asked.set()

    async def run(self) -> None:
        """Connects and reconnects until cancelled."""
        self.wake()
        try:
            while True:
                await self._asked.wait()
                self._count_down()
                try:
                    await self._stream()
                except UpstreamLost as error:
                    _log.info("%s: %s", self._node, error)
                self._failures += 1
                await asyncio.sleep(self._times.pause(self._failures, self._jitter()))
        finally:
            self._stop_timers()

    async def _stream(self) -> None:
        """One stream from its start to its end. Raises UpstreamLost."""
        channel = self._channel()
        try:
            async with asyncio.timeout(self._times.connect):
                await channel.channel_ready()
        except TimeoutError as error:
            raise UpstreamLost("the control plane cannot be reached") from error
        except grpc.aio.UsageError as error:
            raise UpstreamLost("the channel was replaced") from error
        call = channel.stream_stream(
            _METHOD,
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )()
        self._outbox = asyncio.Queue()
        self._conversation.opened()
        self._present = asyncio.get_running_loop().call_later(self._times.present, self._is_present)
        try:
            await self._converse(call, self._outbox)
        finally:
            call.cancel()
            self._outbox = None
            self.connected = False
            self._cancel_present()
            self._conversation.lost()

    async def _converse(self, call: grpc.aio.StreamStreamCall, outbox: "asyncio.Queue[ToUpstream]") -> None:
        tasks = (
            asyncio.create_task(self._read(call), name=f"upstream read {self._node}"),
            asyncio.create_task(self._write(call, outbox), name=f"upstream write {self._node}"),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, grpc.aio.AioRpcError):
                raise UpstreamLost(f"the control plane ended the stream: {result.code().name}: {result.details()}")
            if isinstance(result, Exception) and not isinstance(result, asyncio.InvalidStateError):
                raise result
        raise UpstreamLost("the control plane closed the stream")

    async def _read(self, call: grpc.aio.StreamStreamCall) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            self._is_present()
            self._conversation.received(from_response(response))

    async def _write(self, call: grpc.aio.StreamStreamCall, outbox: "asyncio.Queue[ToUpstream]") -> None:
        node = self._node
        while True:
            await call.write(to_request(await outbox.get(), node))
            node = ""

    # Away or back

    def _count_down(self) -> None:
        if self._away is None:
            self._away = asyncio.get_running_loop().call_later(self._times.away, self._conversation.away, True)

    def _is_present(self) -> None:
        self._cancel_present()
        self._failures = 0
        self.connected = True
        if self._away is not None:
            self._away.cancel()
            self._away = None
            self._conversation.away(False)

    def _cancel_present(self) -> None:
        if self._present is not None:
            self._present.cancel()
            self._present = None

    def _stop_timers(self) -> None:
        self._cancel_present()
        if self._away is not None:
            self._away.cancel()
            self._away = None
