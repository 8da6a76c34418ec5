"""The agent of a node: everything it consists of, and the one task group that all of it runs in."""

import asyncio
import logging
import os
import random
import shutil
import socket
import stat
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from tulle.agent import envoy_binary
from tulle.agent.app_process import AppProcesses, ProcessSettings
from tulle.agent.app_user import ROOT, ordinary_user
from tulle.agent.applications import Applications
from tulle.agent.capture.dns_upstream import HostServers
from tulle.agent.capture.gateway import bind_gateway, serve_gateway
from tulle.agent.capture.holder import hold, release
from tulle.agent.capture.launch import RunAs
from tulle.agent.capture.namespace import Namespaces
from tulle.agent.capture.publish import Target, bind_published, publish
from tulle.agent.chance import jitter, now
from tulle.agent.credentials import Credentials
from tulle.agent.dns_settings import DnsSettings
from tulle.agent.envoy_command import EnvoyCommand
from tulle.agent.finished import FinishedReplicas
from tulle.agent.host import Host, HostSettings
from tulle.agent.joined import Joined
from tulle.agent.link import UpstreamSettings
from tulle.agent.local_api import LocalApi
from tulle.agent.mesh_ports import MESH_PORTS, MeshPorts, can_be_bound
from tulle.agent.name_servers import NameServers
from tulle.agent.node_feed import NodeFeed
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.reach import accepts, application_accepts, proxy_listens
from tulle.agent.relay import Relay
from tulle.agent.report import Reporter
from tulle.agent.roster import Record, Roster
from tulle.agent.secrets import SvidSecrets
from tulle.agent.supervise import Supervisor
from tulle.api.paths import RunPaths
from tulle.identity.private_file import let_through, lock_alone, make_private_directory
from tulle.identity.svids import Svids
from tulle.model.names import AgentId, ProxyId, SpiffeId
from tulle.xds.bootstrap import ProxySettings, bootstrap

log = logging.getLogger(__name__)

PROXY_USER = 65530
"""A number that distributions keep free: below it are the users that systemd makes, above it `nobody`."""


class _Stopped(Exception):
    """Ends the task group once everything has been stopped."""


class Published(Struct, frozen=True):
    """`host_port` on this host's loopback address leads to `port` of the ready workloads of an App."""

    host_port: int
    namespace: str
    app: str
    port: int


class AgentSettings(Struct, frozen=True):
    """`rootless`: this process is root only in a user namespace of its own. `hidden` are directories that no
    application may see, `environment` is what every application gets. `fresh`: what an earlier agent left is ended
    and removed, not taken over. `invoker` is who became root to start this agent, 0 where nobody did.
    `proxy_user` is the number of the user and of the group that proxies run as, where the agent is root."""

    node: str
    address: str
    trust_domain: str
    paths: RunPaths
    rootless: bool
    hidden: tuple[Path, ...]
    environment: Mapping[str, str]
    published: tuple[Published, ...] = ()
    fresh: bool = False
    invoker: int = ROOT
    proxy_user: int = PROXY_USER


class Agent:
    """Assembled from its settings and what it proves itself with; `run` runs it."""

    def __init__(self, settings: AgentSettings, credentials: Credentials) -> None:
        self.settings = settings
        self._credentials = credentials
        paths = settings.paths
        for directory in (paths.run_dir, paths.agent_dir):
            make_private_directory(directory)
        self._lock = lock_alone(paths.run_dir / "agent.lock", "an agent")
        upstream = UpstreamSettings(lambda: credentials.channel, random.random)
        self.roster = Roster(paths.run_dir / "workloads.json")
        self._svids = Svids(paths.svid_dir, credentials.bundle_pem, credentials.issue, now, jitter)
        secrets = SvidSecrets(self._svids, settings.trust_domain, self._identities_of)
        cache_dir = paths.agent_dir / "cache"
        self._finished = paths.agent_dir / "finished.json"
        if settings.fresh:
            shutil.rmtree(cache_dir, ignore_errors=True)
            self._finished.unlink(missing_ok=True)
        make_private_directory(cache_dir)
        self.relay = Relay(cache_dir, upstream, secrets)
        self.feed = NodeFeed(
            settings.node, str(AgentId(settings.node)), cache_dir / "node.xds", upstream, opened=self.roster.tell_again
        )
        self.namespaces = Namespaces(paths.run_dir)
        self._dns = DnsSettings(HostServers())
        if (view := self.feed.view) is not None:
            self._dns.apply(view.dns)
        self._reporter = Reporter(settings.node, self.roster, credentials.report, self._svids.retry, jitter)
        self._ending = False
        self._proxy_network = self.namespaces.node_path if settings.rootless else None
        binary = envoy_binary.find(os.environ)
        self._proxy_user = None if settings.rootless else _proxy_user(settings)
        command = EnvoyCommand(binary.path, self._bootstrap_of, lambda _: self._proxy_network, user=self._proxy_user)
        self._live: asyncio.Queue[ProxyId] = asyncio.Queue()
        self.supervisor = Supervisor(paths.run_dir, command, live=self._live.put_nowait)

    async def run(self, started: asyncio.Event, stopping: asyncio.Event) -> None:
        """Serves until cancelled, and leaves proxies and applications running then; ends all of them first where
        `stopping` is set. Sets `started` when workloads can be made. Raises PortTaken before anything is made."""
        listeners = {p: bind_published(p.host_port) for p in self.settings.published}
        if self._proxy_network is None:
            await self._serve(listeners, started, stopping)
            return
        hold(self.settings.paths.run_dir)
        try:
            await asyncio.to_thread(self.namespaces.create_node)
            await self._serve(listeners, started, stopping)
        finally:
            if not self.roster.load():  # nothing is left that the next agent could take over
                release(self.settings.paths.run_dir)

    async def _serve(
        self, listeners: Mapping[Published, socket.socket], started: asyncio.Event, stopping: asyncio.Event
    ) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                applications = await self._start(tasks, listeners)
                started.set()
                await stopping.wait()
                await self._stop(applications)
                raise _Stopped
        except* _Stopped:
            await asyncio.to_thread(self.namespaces.sweep)
            if self._proxy_network is not None:
                await asyncio.to_thread(self.namespaces.remove_node)

    async def _start(self, tasks: asyncio.TaskGroup, listeners: Mapping[Published, socket.socket]) -> Applications:
        settings = self.settings
        names = NameServers(tasks, self.feed, self._dns)
        host = Host(
            self._host_settings(),
            self.roster,
            self.namespaces,
            names,
            self._reporter,
            self._svids,
            self,
            self._mesh_ports(),
            accepts,
            partial(proxy_listens, settings.paths.run_dir, settings.node),
        )
        processes = AppProcesses(self._process_settings(), self.namespaces.path, lambda: self._dns.search_domain)
        applications = Applications(host, processes, FinishedReplicas(self._finished))
        joined = Joined(tasks, host, application_accepts)
        local_api = LocalApi(
            self.roster, joined, settings.paths.run_dir, settings.hidden, lambda: self._dns.search_domain
        )
        self._svids.listen(self.relay.secrets_changed)
        await self._take_over(host, processes, applications, joined)
        parts: dict[str, Coroutine[None, None, None]] = {
            "credentials": self._credentials.run(),
            "relay": self.relay.run(settings.paths.xds_socket, self._proxy_user),
            "feed": self.feed.run(),
            "proxies": self.supervisor.run(),
            "mesh ports": self._keep_served(host),
            "certificates": self._svids.run(),
            "report": self._reporter.run(),
            "applications": applications.run(),
            "node view": self._follow(applications),
            "local api": local_api.serve(settings.paths.agent_socket),
        }
        for published, listener in listeners.items():
            parts[f"publish {published.host_port}"] = publish(listener, partial(self._targets, published))
        if settings.rootless:
            parts["gateway"] = serve_gateway(bind_gateway(self._gateway_socket))
        for name, part in parts.items():
            tasks.create_task(part, name=name)
        return applications

    def want(self, proxies: frozenset[ProxyId]) -> None:
        """The proxies that the host's workloads need: served, and running. None once everything ends."""
        if self._ending:
            return
        self.relay.want(proxies)
        self.supervisor.want(proxies)

    async def _follow(self, applications: Applications) -> None:
        async for view in self.feed.views():
            self._dns.apply(view.dns)
            applications.apply(view)

    async def _keep_served(self, host: Host) -> None:
        """Looks after the workloads of every proxy that has become live."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                proxy = await self._live.get()
                tasks.create_task(host.keep_served(proxy), name=f"mesh ports of {proxy}")

    async def _take_over(self, host: Host, processes: AppProcesses, applications: Applications, joined: Joined) -> None:
        """Adopts what an earlier agent left running, and removes the rest of what it left."""
        left = () if self.settings.fresh else self.roster.load()
        found = [record for record in left if not _is_half_made(record, processes)]
        adopted = [record for record in found if await host.adopt(record)]
        await processes.end_others({record.name for record in adopted})
        await asyncio.to_thread(self.namespaces.sweep, [record.name for record in adopted])
        applications.adopt(record for record in adopted if record.app)
        joined.adopt(record for record in adopted if not record.app)
        self.roster.forget_earlier()
        host.deal()
        self.relay.forget_others()

    async def _stop(self, applications: Applications) -> None:
        self._ending = True
        await applications.stop_all()
        await self.supervisor.stop_all()
        for record in self.roster.records():
            self.roster.remove(record.name)
        self._svids.want({})  # keys of what is no more are left nowhere

    def _host_settings(self) -> HostSettings:
        settings = self.settings
        return HostSettings(
            settings.node,
            "127.0.0.1" if settings.rootless else settings.address,
            settings.trust_domain,
            self._proxy_network,
            str(self._gateway_socket) if settings.rootless else "",
        )

    def _mesh_ports(self) -> MeshPorts:
        """Nobody but our proxies binds anything in a network of their own."""
        usable = partial(can_be_bound, self.settings.address) if self._proxy_network is None else lambda _: True
        return MeshPorts(usable, first=random.randrange(len(MESH_PORTS)))

    def _process_settings(self) -> ProcessSettings:
        settings = self.settings

        def default_user(directory: Path, program: str, search_path: str) -> RunAs | None:
            return None if settings.rootless else ordinary_user(settings.invoker, directory, program, search_path)

        return ProcessSettings(
            settings.paths.run_dir, settings.paths.log_dir, settings.hidden, settings.environment, default_user
        )

    @property
    def _gateway_socket(self) -> Path:
        return self.settings.paths.run_dir / "gateway.sock"

    def _bootstrap_of(self, proxy: ProxyId) -> bytes:
        paths = self.settings.paths
        admin = ProxyDirectory.of(paths.run_dir, proxy).admin
        return bootstrap(ProxySettings(proxy, str(paths.xds_socket), str(admin)))

    def _identities_of(self, proxy: ProxyId) -> frozenset[SpiffeId]:
        records = self.roster.records()
        return frozenset(
            r.identity(self.settings.trust_domain) for r in records if r.proxy(self.settings.node) == proxy
        )

    def _targets(self, published: Published) -> tuple[Target, ...]:
        return tuple(Target(Path(r.network), published.port) for r in self.roster.records() if _is_of(r, published))


def _is_half_made(record: Record, processes: AppProcesses) -> bool:
    """Whether the earlier agent ended before it had started the application: it may not be in the mesh yet."""
    return bool(record.app) and record.state == "Starting" and processes.find(record.name) is None


def _is_of(record: Record, published: Published) -> bool:
    wanted = (published.namespace, published.app)
    return (record.name.namespace, record.app) == wanted and record.state == "Ready"


def _proxy_user(settings: AgentSettings) -> int | None:
    """Whose proxies are, once the run directory lets them through; None: root's, where a directory above is closed."""
    closed = [str(parent) for parent in settings.paths.run_dir.parents if not parent.stat().st_mode & stat.S_IXOTH]
    if closed:
        log.warning("proxies run as root, as other users cannot get through %s", closed[-1])
        return None
    let_through(settings.paths.run_dir, settings.proxy_user)
    return settings.proxy_user
