"""Relays for one proxy: what its stream says to its memory, and what its memory has to say to its stream.

A proxy that reconnects may be back before its old stream is known to be gone; the newest stream is the proxy.
"""

import logging
from pathlib import Path

from msgspec import Struct

from tulle.agent import control_plane_away
from tulle.agent.link import Link, UpstreamSettings
from tulle.agent.relay_state import Changed
from tulle.agent.secrets import Secrets
from tulle.model.names import ProxyId
from tulle.model.problem import Problem
from tulle.stream.protocol import Absent, Event, Nacked, Pending
from tulle.stream.server import Stream
from tulle.xds.resource import Resource
from tulle.xds.type_urls import SECRET

_log = logging.getLogger(__name__)


class RelayStatus(Struct, frozen=True):
    """`connected`: the proxy is; `in_sync`: and it has taken all there is; `upstream`: the control plane is there.
    `refusals`: (type URL, name, the proxy's words) of what it would not take. `problem`: with its cache."""

    proxy: ProxyId
    connected: bool
    in_sync: bool
    upstream: bool
    refusals: tuple[tuple[str, str, str], ...] = ()
    problem: Problem | None = None


class ProxyRelay:
    """The `Source` of the proxy's session. `path` is its cache."""

    def __init__(self, proxy: ProxyId, path: Path, upstream: UpstreamSettings, secrets: Secrets) -> None:
        self.proxy = proxy
        self._secrets = secrets
        self._stream: Stream | None = None
        self._types_heard: set[str] = set()
        self._link = Link(str(proxy), path, upstream, self._tell, control_plane_away.answer)
        self.run = self._link.run
        self.forget = self._link.forget

    @property
    def status(self) -> RelayStatus:
        return RelayStatus(
            proxy=self.proxy,
            connected=self._stream is not None,
            in_sync=self._stream is not None and self._stream.in_sync,
            upstream=self._link.connected,
            refusals=self._link.state.refusals,
            problem=self._link.problem,
        )

    def secrets_changed(self) -> None:
        if self._stream is not None:
            self._stream.changed([(SECRET, name) for name in self._stream.subscriptions(SECRET)])

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    # What the proxy's session asks

    def get(self, type_url: str, name: str) -> Resource | Absent | Pending:
        return self._secrets.get(self.proxy, name) if type_url == SECRET else self._link.state.get(type_url, name)

    def roots(self, type_url: str) -> tuple[str, ...] | Pending:
        return () if type_url == SECRET else self._link.state.roots(type_url)

    # What the proxy's stream says

    def opened(self, stream: Stream) -> None:
        if self._stream is not None:
            self._link.carry_out(self._link.state.proxy_lost())
            self._stream.close()
        self._stream = stream
        self._types_heard.clear()
        self._link.state.proxy_connected()

    def heard(self, stream: Stream, event: Event) -> None:
        if stream is not self._stream:
            return
        if isinstance(event, Nacked):
            _log.warning("proxy %s refused %s: %s", self.proxy, event.subject, event.message)
        if event.type_url == SECRET:
            return
        state = self._link.state
        if event.type_url not in self._types_heard:
            self._types_heard.add(event.type_url)
            self._link.carry_out(state.proxy_brings(event.type_url, stream.acknowledged(event.type_url)))
        self._link.carry_out(state.heard(event))
        self._confirm(stream)

    def closed(self, stream: Stream) -> None:
        if stream is self._stream:
            self._stream = None
            self._link.carry_out(self._link.state.proxy_lost())

    def _tell(self, changed: Changed) -> None:
        if self._stream is None:
            return
        self._stream.changed([(changed.type_url, name) for name in changed.names])
        if changed.roots:
            self._stream.roots_changed(changed.type_url)
        self._confirm(self._stream)

    def _confirm(self, stream: Stream) -> None:
        """What the proxy said that it had when it connected is not sent to it, so it will not acknowledge it."""
        for type_url in self._link.state.waiting:
            self._link.carry_out(self._link.state.proxy_has(type_url, stream.acknowledged(type_url)))
