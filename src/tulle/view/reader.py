"""Reads a snapshot and remembers what was read.

A view's dependencies are the facts that building it looked up, whether they were there or not. They are recorded
here and never written by hand, so that no list of inputs can forget one.
"""

from collections.abc import Mapping
from typing import TypeVar

from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.mesh import MESH_NAME, Mesh, MeshSpec
from tulle.model.names import ObjectRef, ServiceName, WorkloadName
from tulle.model.namespace import Namespace
from tulle.model.reference_grant import ReferenceGrant
from tulle.model.snapshot import NO_KEY, Fact, MixedPort, ServiceEntry, Snapshot
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_MESH = ObjectRef(Mesh.API_VERSION, Mesh.__name__, "", MESH_NAME)


class Reader:
    """A snapshot's tables, by question. `facts` holds what has been read so far."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.facts: set[Fact] = set()

    def _read(self, table: str, entries: Mapping[K, V], key: K) -> V | None:
        self.facts.add(Fact(table, key))
        return entries.get(key)

    def _object(self, ref: ObjectRef, kind: type[T]) -> T | None:
        found = self._read("objects", self._snapshot.objects, ref)
        return found if isinstance(found, kind) else None

    def _objects(self, refs: tuple[ObjectRef, ...], kind: type[T]) -> tuple[T, ...]:
        found = (self._object(ref, kind) for ref in refs)
        return tuple(o for o in found if o is not None)

    def mesh(self) -> MeshSpec:
        mesh = self._object(_MESH, Mesh)
        return mesh.spec if mesh else MeshSpec()

    def namespace(self, name: str) -> Namespace | None:
        return self._object(ObjectRef(Namespace.API_VERSION, Namespace.__name__, "", name), Namespace)

    def service(self, name: ServiceName) -> ServiceEntry | None:
        return self._read("services", self._snapshot.services, name)

    def service_at(self, address: str) -> ServiceEntry | None:
        """The service that has a virtual address."""
        name = self._read("addresses", self._snapshot.addresses, address)
        return self.service(name) if name else None

    def mixed_ports(self) -> tuple[MixedPort, ...]:
        return self._read("mixed_ports", self._snapshot.mixed_ports, NO_KEY) or ()

    def http_routes(self, parent: ServiceName) -> tuple[HTTPRoute | GRPCRoute, ...]:
        refs = self._read("http_routes", self._snapshot.http_routes, parent) or ()
        return self._objects(refs, HTTPRoute | GRPCRoute)  # type: ignore[arg-type]

    def tcp_routes(self, parent: ServiceName) -> tuple[TCPRoute, ...]:
        return self._objects(self._read("tcp_routes", self._snapshot.tcp_routes, parent) or (), TCPRoute)

    def grants(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        """What a namespace lets others refer to."""
        return self._objects(self._read("grants", self._snapshot.grants, namespace) or (), ReferenceGrant)

    def workload(self, name: WorkloadName) -> Workload | None:
        return self._read("workloads", self._snapshot.workloads, name)

    def members(self, service: ServiceName) -> tuple[Workload, ...]:
        """The workloads behind a service, by name."""
        names = self._read("members", self._snapshot.members, service) or ()
        found = (self.workload(name) for name in names)
        return tuple(w for w in found if w is not None)

    def services_of(self, workload: WorkloadName) -> tuple[ServiceEntry, ...]:
        names = self._read("services_of", self._snapshot.services_of, workload) or ()
        found = (self.service(name) for name in names)
        return tuple(s for s in found if s is not None)

    def refused_by(self, workload: WorkloadName) -> tuple[ServiceName, ...]:
        """The services that select a workload, and have nothing to do with its service account."""
        return self._read("refused_by", self._snapshot.refused_by, workload) or ()

    def node_workloads(self, node: str) -> tuple[WorkloadName, ...]:
        return self._read("node_workloads", self._snapshot.node_workloads, node) or ()

    def node_apps(self, node: str) -> tuple[App, ...]:
        return self._objects(self._read("node_apps", self._snapshot.node_apps, node) or (), App)
