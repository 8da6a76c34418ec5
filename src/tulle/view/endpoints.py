"""The instances behind a service port, as addresses in the mesh."""

from tulle.model.keys import EndpointsKey, TcpEndpointsKey
from tulle.model.names import ServicePort, WorkloadName, WorkloadPort
from tulle.model.snapshot import PortEntry
from tulle.model.workload import Workload
from tulle.view.reader import Reader
from tulle.view.tcp import tcp_backends
from tulle.view.types import EndpointGroup, EndpointsView, EndpointView


def endpoints(reader: Reader, key: EndpointsKey) -> EndpointsView | None:
    service = reader.service(key.port.service)
    if service is None or service.port(key.port.port) is None:
        return None
    return EndpointsView(key, (EndpointGroup(1, instances(reader, key.port)),))


def tcp_endpoints(reader: Reader, key: TcpEndpointsKey) -> EndpointsView | None:
    backends = tcp_backends(reader, key.client_namespace, key.address)
    if backends is None:
        return None
    groups = tuple(EndpointGroup(b.weight, instances(reader, b.port) if b.port else ()) for b in backends)
    if len(groups) > 1:
        # Envoy gives the share of an empty group to the others; the specification wants it refused.
        groups = tuple(EndpointGroup(g.weight, g.endpoints or (_refusing(i),)) for i, g in enumerate(groups))
    return EndpointsView(key, groups)


def _refusing(index: int) -> EndpointView:
    """An address where nothing answers; what did would have no identity that a client accepts. Each has another, as
    Envoy takes equal addresses for one instance."""
    return EndpointView("127.0.0.1", 1 + index, WorkloadPort(WorkloadName("invalid", "backend"), 1))


def instances(reader: Reader, port: ServicePort) -> tuple[EndpointView, ...]:
    """The instances that take requests, and those that are draining, in order of workload name."""
    service = reader.service(port.service)
    entry = service.port(port.port) if service else None
    if entry is None:
        return ()
    found = (_endpoint(w, entry) for w in reader.members(port.service))
    return tuple(e for e in found if e is not None)


def _endpoint(workload: Workload, entry: PortEntry) -> EndpointView | None:
    spec = workload.spec
    port = target_port(workload, entry)
    if port is None or spec.state not in ("Ready", "Draining") or not spec.mesh_port:
        return None
    name = WorkloadName(workload.metadata.namespace, workload.metadata.name)
    return EndpointView(spec.address, spec.mesh_port, WorkloadPort(name, port), spec.weight, spec.state == "Draining")


def target_port(workload: Workload, entry: PortEntry) -> int | None:
    """The number of the workload's port that a service port leads to; a name is looked up at the workload."""
    if isinstance(entry.target, int):
        return entry.target
    return next((p.port for p in workload.spec.ports if p.name == entry.target), None)
