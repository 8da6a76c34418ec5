"""Runs one DNS server in every workload's namespace, each by what the mesh says of names at that moment."""

import asyncio
from pathlib import Path

from tulle.agent.capture.dns import Resolver, bind_dns, serve_dns
from tulle.agent.capture.dns_upstream import Upstream
from tulle.agent.dns_settings import DnsSettings


class NameServers:
    """`tasks` is the agent's task group: a server lives until it is stopped or the agent ends."""

    def __init__(self, tasks: asyncio.TaskGroup, resolver: Resolver, settings: DnsSettings) -> None:
        self._tasks = tasks
        self._resolver = resolver
        self._settings = settings
        self._upstream = Upstream(settings.servers)
        self._servers: dict[Path, asyncio.Task[None]] = {}

    async def serve(self, client_namespace: str, network: Path) -> None:
        """Returns once questions in the namespace at `network` are heard."""
        sockets = await asyncio.to_thread(bind_dns, network)
        serving = serve_dns(sockets, client_namespace, self._resolver, self._upstream, lambda: self._settings.domains)
        self._servers[network] = self._tasks.create_task(serving, name=f"dns {network.name}")

    async def stop(self, network: Path) -> None:
        """Ends the server in a namespace, where there is one."""
        server = self._servers.pop(network, None)
        if server is not None:
            server.cancel()
            await asyncio.wait({server})
