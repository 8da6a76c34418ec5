"""Serves xDS to the proxies of a node, out of what the control plane sent, now or before.

Every proxy has a stream of its own to the control plane; its secrets are answered here. The control plane may come and
go: what a proxy has had once it gets again, and what it takes is what its next start begins with.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import grpc

from tulle.agent.link import UpstreamSettings
from tulle.agent.proxy_directory import file_name
from tulle.agent.proxy_relay import ProxyRelay, RelayStatus
from tulle.agent.secrets import Secrets
from tulle.model.names import ProxyId
from tulle.stream.protocol import Event, Source
from tulle.stream.server import SERVER_OPTIONS, Refused, Stream, XdsService


class Relay:
    """The relay of a node; `want` says for which proxies. `cache_dir` is on disk, with mode 0700."""

    def __init__(self, cache_dir: Path, upstream: UpstreamSettings, secrets: Secrets) -> None:
        self._cache_dir = cache_dir
        self._upstream = upstream
        self._secrets = secrets
        self._relays: dict[ProxyId, ProxyRelay] = {}
        self._tasks: dict[ProxyRelay, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._of_stream: dict[Stream, ProxyRelay] = {}

    def want(self, proxies: Iterable[ProxyId]) -> None:
        """Serves these proxies from now on. Streams of others are closed, and their caches deleted."""
        wanted = frozenset(proxies)
        for proxy in wanted - self._relays.keys():
            path = self._cache_dir / f"{file_name(proxy)}.xds"
            self._relays[proxy] = ProxyRelay(proxy, path, self._upstream, self._secrets)
        for proxy in self._relays.keys() - wanted:
            self._relays.pop(proxy).close()
        self._changed.set()

    def forget_others(self) -> None:
        """Deletes the caches of proxies that an earlier agent had and that are not wanted."""
        wanted = {file_name(proxy) for proxy in self._relays}
        for path in self._cache_dir.glob("*~*"):
            if path.suffix in (".xds", ".damaged") and path.stem not in wanted:
                path.unlink()

    def secrets_changed(self) -> None:
        """Any secret may be another one now, or become known."""
        for relay in self._relays.values():
            relay.secrets_changed()

    def statuses(self) -> tuple[RelayStatus, ...]:
        return tuple(self._relays[proxy].status for proxy in sorted(self._relays, key=str))

    async def run(self, socket: Path, user: int | None = None) -> None:
        """Serves on a unix socket (0600) until cancelled; proxies are of `user`, or of this process's."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((XdsService(self).handler,))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        os.chmod(socket, 0o600)  # noqa: PTH101 (no wait)
        if user is not None:
            os.chown(socket, user, user)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._stop_unwanted()
                    for proxy, relay in self._relays.items():
                        if relay not in self._tasks:
                            self._tasks[relay] = tasks.create_task(relay.run(), name=f"relay {proxy}")
        finally:
            await server.stop(None)

    async def _stop_unwanted(self) -> None:
        for relay in self._tasks.keys() - self._relays.values():
            task = self._tasks.pop(relay)
            task.cancel()
            await asyncio.wait([task])
            if relay.proxy not in self._relays:
                relay.forget()

    # What the server calls

    def open(self, stream: Stream) -> Source:
        proxy = ProxyId.parse(stream.node.id)
        relay = self._relays.get(proxy) if proxy else None
        if relay is None:
            raise Refused(f"this node has no proxy {stream.node.id}")
        self._of_stream[stream] = relay
        relay.opened(stream)
        return relay

    def event(self, stream: Stream, event: Event) -> None:
        self._of_stream[stream].heard(stream, event)

    def closed(self, stream: Stream) -> None:
        self._of_stream.pop(stream).closed(stream)
