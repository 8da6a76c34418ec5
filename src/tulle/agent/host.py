"""Brings workloads into the mesh on this host, and takes them out again, each step in the order that loses nothing.

In: namespace and rules, DNS, the control plane is told, certificate and proxy, and only when its listeners answer may
the application start. Out: no new requests, the application ends, listeners and proxy go, the namespace last.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tulle.agent.capture.rules import OUTBOUND_PORT
from tulle.agent.errors import AdminError, AgentError, PortTaken
from tulle.agent.mesh_ports import MeshPorts
from tulle.agent.reach import Accepts, Listens
from tulle.agent.roster import Record, Roster
from tulle.identity.svid import Svid
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.model.problem import Problem

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_PAUSE = 0.05
_PORT_TRIES = 5


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


class Workloads(Protocol):
    """What a Host is for those who run applications."""

    roster: Roster

    async def admit(self, admission: Admission) -> Record: ...

    async def drain(self, name: WorkloadName) -> None: ...

    async def discard(self, name: WorkloadName) -> None: ...


class Networks(Protocol):
    """Namespaces of workloads. What creates and removes them blocks, and raises OSError."""

    def path(self, name: WorkloadName) -> Path: ...

    def alive(self, name: WorkloadName) -> bool: ...

    def create(self, name: WorkloadName) -> Path: ...

    def remove(self, name: WorkloadName) -> None: ...


class Names(Protocol):
    """DNS inside workloads' namespaces."""

    async def serve(self, client_namespace: str, network: Path) -> None: ...

    async def stop(self, network: Path) -> None: ...


class Reports(Protocol):
    """What the control plane has heard of the roster."""

    @property
    def up_to_date(self) -> bool: ...

    def refusal(self, name: WorkloadName) -> Problem | None: ...

    async def reported(self, limit: float) -> bool: ...


class Certificates(Protocol):
    def want(self, workloads: Mapping[SpiffeId, WorkloadName]) -> None: ...

    def get(self, identity: SpiffeId) -> Svid | None: ...


class Proxies(Protocol):
    def want(self, proxies: frozenset[ProxyId]) -> None: ...


class Host:
    """The workloads of this host in the mesh. `roster` says at any time which they are."""

    def __init__(
        self,
        settings: HostSettings,
        roster: Roster,
        networks: Networks,
        names: Names,
        reports: Reports,
        certificates: Certificates,
        proxies: Proxies,
        ports: MeshPorts,
        accepts: Accepts,
        listens: Listens,
    ) -> None:
        self.settings = settings
        self.roster = roster
        self._networks = networks
        self._names = names
        self._reports = reports
        self._certificates = certificates
        self._proxies = proxies
        self._ports = ports
        self._accepts = accepts
        self._listens = listens
        self._coming: set[WorkloadName] = set()

    async def admit(self, admission: Admission) -> Record:
        """Returns once the workload is in the mesh, its application not yet started. Raises NotAdmitted; then
        nothing of it is left."""
        network = await self._make_network(admission.name)
        self._coming.add(admission.name)
        try:
            async with asyncio.timeout(self.settings.ready):
                return await self._bring_in(admission, network)
        except BaseException as error:
            missing = self._missing(admission)
            await self.discard(admission.name)
            if isinstance(error, TimeoutError):
                waited = f"not in the mesh after {self.settings.ready:.0f} s"
                raise NotAdmitted(f"{admission.name} is {waited}: {missing}") from error
            if isinstance(error, OSError | AgentError):
                raise NotAdmitted(f"{admission.name} cannot be brought into the mesh: {error}") from error
            raise
        finally:
            self._coming.discard(admission.name)

    async def _make_network(self, name: WorkloadName) -> Path:
        """Nothing is to be discarded where this fails: what is there then is another's."""
        try:
            return await asyncio.to_thread(self._networks.create, name)
        except FileExistsError as error:
            raise NotAdmitted(f"there is a workload {name} already") from error
        except OSError as error:
            raise NotAdmitted(f"{name} cannot have a network namespace: {error}") from error

    async def _bring_in(self, admission: Admission, network: Path) -> Record:
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
        await self._tell_of(record)
        return await self._served(record)

    async def _tell_of(self, record: Record) -> None:
        """Puts a workload on the roster and returns when the control plane has heard. Raises AgentError."""
        self.roster.put(record)
        await self._reports.reported(self.settings.ready)
        if (refusal := self._reports.refusal(record.name)) is not None:
            raise AgentError(f"the control plane refuses it: {refusal.message}")
        self.deal()

    async def _served(self, record: Record) -> Record:
        """Returns the record of a workload once its proxy serves it, or it has gone: with another mesh port where
        somebody else listens at the one it had. Raises AgentError."""
        for _ in range(_PORT_TRIES):
            try:
                while self.roster.get(record.name) is not None and not await self._is_in(record):
                    await asyncio.sleep(_PAUSE)
            except PortTaken as error:
                current = self.roster.get(record.name)
                if current is None:
                    return record
                log.warning("%s has another mesh port now: %s", record.name, error)
                record = replace(current, mesh_port=self._mesh_port())
                await self._tell_of(record)
            else:
                return record
        raise AgentError(f"{_PORT_TRIES} mesh ports in turn were taken by others while they were tried")

    async def keep_served(self, proxy: ProxyId) -> None:
        """Gives the workloads of a proxy that was started again other mesh ports, where somebody else has taken theirs
        meanwhile: its log would say so, and nothing else. Returns when they are served, or says why they are not."""
        records = [r for r in self.roster.records() if r.proxy(self.settings.node) == proxy]
        await asyncio.gather(*(self._keep_served(r) for r in records if r.name not in self._coming))

    async def _keep_served(self, record: Record) -> None:
        try:
            async with asyncio.timeout(self.settings.ready):
                await self._served(record)
        except TimeoutError:
            log.error("%s is not served: its proxy does not listen at %d", record.name, record.mesh_port)
        except AgentError as error:
            log.error("%s is not served: %s", record.name, error)

    async def adopt(self, record: Record) -> bool:
        """Takes over a workload of an earlier agent, if its namespace is still there. After the last one, `deal`."""
        network = self._networks.path(record.name)
        if str(network) != record.network or not await asyncio.to_thread(self._networks.alive, record.name):
            return False
        try:
            await self._names.serve(record.name.namespace, network)
        except OSError as error:
            log.error("%s is not taken over, it can have no name server: %s", record.name, error)
            return False
        self.roster.put(record)
        return True

    async def drain(self, name: WorkloadName) -> None:
        """Takes a workload out of its services and waits until its clients have heard."""
        self.roster.set_state(name, "Draining")
        await self._reports.reported(self.settings.drain)
        await asyncio.sleep(self.settings.drain)

    async def discard(self, name: WorkloadName) -> None:
        """Takes a workload out of the mesh; its application has ended."""
        self.roster.remove(name)
        await self._reports.reported(self.settings.drain)
        self.deal()
        await self._names.stop(self._networks.path(name))
        await asyncio.to_thread(self._networks.remove, name)

    def deal(self) -> None:
        """Makes certificates and proxies follow the roster."""
        records = self.roster.records()
        trust_domain, node = self.settings.trust_domain, self.settings.node
        self._certificates.want({r.identity(trust_domain): r.name for r in records})
        self._proxies.want(frozenset(r.proxy(node) for r in records))

    def _mesh_port(self) -> int:
        return self._ports.take({r.mesh_port for r in self.roster.records()})

    async def _is_in(self, record: Record) -> bool:
        """An acknowledged listener does not accept yet: both of them have to, and there has to be a certificate.

        Raises PortTaken. A proxy whose listener cannot have its port says so in its log only, while whoever has the
        port accepts; so the proxy is asked, after that.
        """
        if not (
            self._certificates.get(record.identity(self.settings.trust_domain)) is not None
            and await self._accepts(Path(record.network), _LOOPBACK, OUTBOUND_PORT)
            and await self._accepts(self.settings.proxy_network, record.address, record.mesh_port)
        ):
            return False
        try:
            listens = await self._listens(record)
        except AdminError:
            return False
        if not listens:
            raise PortTaken(f"something that is not its proxy listens at {record.address}:{record.mesh_port}")
        return True

    def _missing(self, admission: Admission) -> str:
        if not self._reports.up_to_date:
            return "the control plane has not heard of it"
        identity = SpiffeId(self.settings.trust_domain, admission.name.namespace, admission.service_account)
        if self._certificates.get(identity) is None:
            return "it has no certificate; does this node's join token allow its service account?"
        return "its proxy does not listen; its log says why"
