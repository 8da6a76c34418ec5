"""Brings workloads into the mesh on this host, and takes them out again, each step in the order that loses nothing.

In: namespace and rules, DNS, the control plane is told, certificate and proxy, and only when its listeners answer may
the application start. Out: no new requests, the application ends, listeners and proxy go, the namespace last.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from tulle.agent.capture.namespace import Namespaces, dial
from tulle.agent.errors import AgentError
from tulle.agent.mesh_ports import MESH_PORTS, free_mesh_port
from tulle.agent.report import Reporter
from tulle.agent.roster import Record, Roster
from tulle.identity.svids import Svids
from tulle.model.names import ProxyId, SpiffeId, WorkloadName

log = logging.getLogger(__name__)

OUTBOUND_PORT = 15001


class NotAdmitted(AgentError):
    """A workload could not be brought into the mesh; the message says at which step."""


class Admission(Struct, frozen=True):
    """A workload that is to be."""

    name: WorkloadName
    service_account: str
    mode: Literal["sidecar", "node"]
    labels: Mapping[str, str]
    ports: tuple[tuple[str, int], ...] = ()
    app: str = ""
    digest: str = ""


class HostSettings(Struct, frozen=True):
    """`address` is where peers reach this node. `proxy_network` is the namespace of the proxies where they do not
    run in the host's, and `host_gateway` the socket through which they reach it then. Times in seconds: `ready` how
    long a workload may take to be in the mesh, `drain` between an endpoint's leaving and its application's end."""

    node: str
    address: str
    trust_domain: str
    proxy_network: Path | None = None
    host_gateway: str = ""
    ready: float = 60
    drain: float = 1


class Names(Protocol):
    """DNS inside workloads' namespaces."""

    async def serve(self, client_namespace: str, network: Path) -> None: ...

    async def stop(self, network: Path) -> None: ...


class Proxies(Protocol):
    def want(self, proxies: frozenset[ProxyId]) -> None: ...


class Host:
    """The workloads of this host in the mesh. `roster` says at any time which they are."""

    def __init__(
        self,
        settings: HostSettings,
        namespaces: Namespaces,
        names: Names,
        roster: Roster,
        reporter: Reporter,
        svids: Svids,
        proxies: Proxies,
        first_port: int = 0,
    ) -> None:
        self.settings = settings
        self.roster = roster
        self._namespaces = namespaces
        self._names = names
        self._reporter = reporter
        self._svids = svids
        self._proxies = proxies
        # Somewhere in the range, so that two agents on one host rarely try the same port at the same time.
        self._next_port = first_port

    async def admit(self, admission: Admission) -> Record:
        """Returns once the workload is in the mesh, its application not yet started. Raises NotAdmitted; then
        nothing of it is left."""
        try:
            async with asyncio.timeout(self.settings.ready):
                return await self._admit(admission)
        except BaseException as error:
            await self.discard(admission.name)
            if isinstance(error, TimeoutError):
                raise NotAdmitted(
                    f"{admission.name} is not in the mesh after {self.settings.ready:.0f} s: "
                    + self._missing(admission.name, admission.service_account)
                ) from error
            raise

    async def _admit(self, admission: Admission) -> Record:
        network = await asyncio.to_thread(self._namespaces.create, admission.name)
        await self._names.serve(admission.name.namespace, network)
        record = Record(
            name=admission.name,
            service_account=admission.service_account,
            mode=admission.mode,
            network=str(network),
            address=self.settings.address,
            mesh_port=self._mesh_port(),  # no await until the roster has it, or two would get the same
            host_gateway=self.settings.host_gateway,
            app=admission.app,
            digest=admission.digest,
            ports=admission.ports,
            labels=admission.labels,
        )
        self.roster.put(record)
        await self._reporter.reported(self.settings.ready)
        self.deal()
        await self._in_mesh(record)
        return record

    async def adopt(self, record: Record) -> bool:
        """Takes over a workload of an earlier agent, if its namespace is still there. After the last one, `deal`."""
        network = self._namespaces.path(record.name)
        if str(network) != record.network or not await asyncio.to_thread(self._namespaces.alive, record.name):
            return False
        await self._names.serve(record.name.namespace, network)
        self.roster.put(record)
        return True

    async def drain(self, name: WorkloadName) -> None:
        """Takes a workload out of its services and waits until its clients have heard."""
        self.roster.set_state(name, "Draining")
        await self._reporter.reported(self.settings.drain)
        await asyncio.sleep(self.settings.drain)

    async def discard(self, name: WorkloadName) -> None:
        """Takes a workload out of the mesh; its application has ended."""
        self.roster.remove(name)
        await self._reporter.reported(self.settings.drain)
        self.deal()
        await self._names.stop(self._namespaces.path(name))
        await asyncio.to_thread(self._namespaces.remove, name)

    def deal(self) -> None:
        """Makes certificates and proxies follow the roster."""
        records = self.roster.records()
        self._svids.want({self.identity(r): r.name for r in records})
        self._proxies.want(frozenset(r.proxy(self.settings.node) for r in records))

    def network(self, name: WorkloadName) -> Path:
        """The path of a workload's network namespace."""
        return self._namespaces.path(name)

    def identity(self, record: Record) -> SpiffeId:
        return record.identity(self.settings.trust_domain)

    def _mesh_port(self) -> int:
        taken = {r.mesh_port for r in self.roster.records()}
        port = free_mesh_port(taken, self._is_free, self._next_port)
        self._next_port = port - MESH_PORTS.start + 1
        return port

    def _is_free(self, port: int) -> bool:
        if self.settings.proxy_network is not None:
            return True  # nobody but our proxies binds anything there
        family = socket.AF_INET6 if ":" in self.settings.address else socket.AF_INET
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((self.settings.address, port))
            except OSError:
                return False
        return True

    async def _in_mesh(self, record: Record) -> None:
        """An acknowledged listener does not accept yet: try, until both of them do and there is a certificate."""
        while not await self._serves(record):
            await asyncio.sleep(0.05)

    async def _serves(self, record: Record) -> bool:
        return (
            self._svids.get(self.identity(record)) is not None
            and await self._accepts(Path(record.network), OUTBOUND_PORT)
            and await self._mesh_address_accepts(record)
        )

    async def _mesh_address_accepts(self, record: Record) -> bool:
        if self.settings.proxy_network is not None:
            return await self._accepts(self.settings.proxy_network, record.mesh_port)
        try:
            _, writer = await asyncio.open_connection(record.address, record.mesh_port)
        except OSError:
            return False
        writer.transport.abort()
        return True

    async def _accepts(self, network: Path, port: int) -> bool:
        with contextlib.suppress(OSError):
            (await dial(network, port)).close()
            return True
        return False

    def _missing(self, name: WorkloadName, service_account: str) -> str:
        if self._svids.get(SpiffeId(self.settings.trust_domain, name.namespace, service_account)) is None:
            return "it has no certificate; does this node's join token allow its service account?"
        return "its proxy does not listen; its log says why"
