"""Keeps the stream to the control plane, and says when the control plane counts as away.

Traffic may be waiting for an answer, so a lost stream is opened again within seconds. A control plane that restarts is
not away: until its time is over, requests wait for it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import grpc
from envoy.config.core.v3 import base_pb2
from msgspec import Struct

from tulle.stream.client import Backoff, ClientEvent, Connected, DeltaClient, Disconnected, Update

_log = logging.getLogger(__name__)


class UpstreamTimes(Struct, frozen=True):
    """`away`: seconds without a stream until the control plane counts as away; `present`: seconds that a stream has to
    last until it is back, unless it answers sooner."""

    backoff: Backoff = Backoff(first=0.2, limit=5)
    away: float = 1
    present: float = 0.3


class Conversation(Protocol):
    """What is said on the stream, and who is told how it goes."""

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask for. Without, no stream is opened."""
        ...

    def held(self, type_url: str) -> Mapping[str, str]:
        """The versions (by name) that a new stream need not send."""
        ...

    def opened(self) -> None:
        """There is a new stream: what the control plane was told before, it may have forgotten."""
        ...

    def lost(self) -> None:
        """The stream has ended."""
        ...

    def received(self, update: Update) -> None: ...

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
        times: UpstreamTimes,
    ) -> None:
        self._node = node
        self._conversation = conversation
        self._times = times
        self.client = DeltaClient(channel, base_pb2.Node(id=node), conversation.held, jitter, times.backoff)
        self._asked = asyncio.Event()
        self._said_lost = False
        self._missing = _Alarm(self._is_away)
        self._lasting = _Alarm(self._is_present)

    @property
    def connected(self) -> bool:
        return self.client.connected

    def wake(self) -> None:
        """There may be something to ask for now."""
        if self._conversation.asks:
            self._asked.set()

    async def run(self) -> None:
        """Connects and reconnects until cancelled."""
        await self._asked.wait()
        self._missing.start(self._times.away)
        try:
            # Cancelled, the iterator ends by itself: all it does in between is wait.
            async for event in self.client.events():
                self._hear(event)
        finally:
            self._missing.stop()
            self._lasting.stop()

    def _hear(self, event: ClientEvent) -> None:
        match event:
            case Connected():
                self._conversation.opened()
                self._lasting.start(self._times.present)
            case Disconnected(code, reason):
                self._say_lost(code, reason)
                self._lasting.stop()
                self._missing.start(self._times.away)
                self._conversation.lost()
            case Update():
                self._is_present()
                self._conversation.received(event)

    def _say_lost(self, code: str, reason: str) -> None:
        """Aloud once, and not again with every attempt of what may be hours."""
        level = logging.DEBUG if self._said_lost else logging.WARNING
        _log.log(level, "%s: no stream to the control plane, tried again: %s: %s", self._node, code, reason)
        self._said_lost = True

    def _is_away(self) -> None:
        self._conversation.away(True)

    def _is_present(self) -> None:
        if self._said_lost:
            _log.info("%s: there is a stream to the control plane again", self._node)
        self._said_lost = False
        self._lasting.stop()
        self._missing.stop()
        self._conversation.away(False)


class _Alarm:
    """Calls `ring` once, some seconds after it was started, unless it is stopped before."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Changes nothing where it is running, or has rung, since it was last stopped."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
