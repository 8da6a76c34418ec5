"""What a Host is assembled from, each part writing down what it is asked, all into one list."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tulle.agent.errors import AdminError
from tulle.agent.host import Host, HostSettings
from tulle.agent.mesh_ports import MeshPorts
from tulle.agent.roster import Record, Roster
from tulle.identity.secret import Secret
from tulle.identity.svid import Svid
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.model.problem import Problem

RUN_DIR = Path("/run/tulle/ns")
SVID = Svid(SpiffeId("mesh.local", "shop", "web"), Secret(b""), "", datetime.min, datetime.max)


class FakeHostParts:
    """Everything works at once, but for the steps in `failures`, which raise, and what is set otherwise."""

    def __init__(self, directory: Path) -> None:
        self.steps: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.networks: set[Path] = set()
        self.names: set[Path] = set()
        self.roster = Roster(directory / "workloads.json")
        self.up_to_date = True
        self.refusals: dict[WorkloadName, Problem] = {}
        self.certified = True
        self.listening = True
        self.taken: set[int] = set()
        self.silent_admin = 0
        self.identities: Mapping[SpiffeId, WorkloadName] = {}
        self.proxies: frozenset[ProxyId] = frozenset()

    def host(self, settings: HostSettings) -> Host:
        return Host(
            settings,
            self.roster,
            self,
            FakeNames(self),
            self,
            FakeCertificates(self),
            FakeProxies(self),
            MeshPorts(lambda _: True),
            self.accepts,
            self.listens,
        )

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.failures:
            raise self.failures[name]

    # Networks

    def path(self, name: WorkloadName) -> Path:
        return RUN_DIR / f"{name.namespace}~{name.name}"

    def alive(self, name: WorkloadName) -> bool:
        return self.path(name) in self.networks

    def create(self, name: WorkloadName) -> Path:
        self.step("create network")
        if self.path(name) in self.networks:
            raise FileExistsError(self.path(name))
        self.networks.add(self.path(name))
        return self.path(name)

    def remove(self, name: WorkloadName) -> None:
        self.step("remove network")
        self.networks.discard(self.path(name))

    # Reports

    def refusal(self, name: WorkloadName) -> Problem | None:
        return self.refusals.get(name)

    async def reported(self, limit: float) -> bool:
        self.step("report " + (", ".join(f"{r.name.name} {r.state}" for r in self.roster.records()) or "nothing"))
        return self.up_to_date

    # Whether something listens

    async def accepts(self, network: Path | None, address: str, port: int) -> bool:
        self.step(f"dial {network.name if network else 'host'} {address}:{port}")
        return self.listening

    # What the proxy says of its listeners

    async def listens(self, record: Record) -> bool:
        self.step(f"ask {record.name.name}'s proxy for {record.mesh_port}")
        if self.silent_admin:
            self.silent_admin -= 1
            raise AdminError("no answer")
        return record.mesh_port not in self.taken


class FakeNames:
    def __init__(self, parts: FakeHostParts) -> None:
        self._parts = parts

    async def serve(self, client_namespace: str, network: Path) -> None:
        self._parts.step(f"serve names of {client_namespace}")
        self._parts.names.add(network)

    async def stop(self, network: Path) -> None:
        self._parts.step("stop names")
        self._parts.names.discard(network)


class FakeCertificates:
    def __init__(self, parts: FakeHostParts) -> None:
        self._parts = parts

    def want(self, workloads: Mapping[SpiffeId, WorkloadName]) -> None:
        self._parts.step("want certificates")
        self._parts.identities = workloads

    def get(self, identity: SpiffeId) -> Svid | None:
        return SVID if self._parts.certified and identity in self._parts.identities else None


class FakeProxies:
    def __init__(self, parts: FakeHostParts) -> None:
        self._parts = parts

    def want(self, proxies: frozenset[ProxyId]) -> None:
        self._parts.step("want proxies")
        self._parts.proxies = proxies
