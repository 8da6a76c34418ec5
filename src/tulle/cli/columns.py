"""Says what a table shows of a resource, besides its name and age."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.kinds import Resource
from tulle.model.mesh import Mesh
from tulle.model.mode import MODE_LABEL
from tulle.model.namespace import Namespace
from tulle.model.reference_grant import ReferenceGrant
from tulle.model.references import BackendRef, ParentReference
from tulle.model.service import Service, ServicePortSpec
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload

NONE = "-"


class Column(Struct, frozen=True):
    """One cell under its title. `wide`: shown only by `-o wide`."""

    title: str
    text: str
    wide: bool = False


def columns(resource: Resource) -> tuple[Column, ...]:
    """The cells of a resource; resources of one kind have the same titles."""
    match resource:
        case Namespace():
            return (Column("MODE", resource.metadata.labels.get(MODE_LABEL, NONE)),)
        case Service():
            return _service(resource)
        case HTTPRoute() | GRPCRoute():
            spec = resource.spec
            backends = _backends(tuple(ref for rule in spec.rules for ref in rule.backend_refs))
            return (
                Column("PARENTS", _joined(_parent(parent) for parent in spec.parent_refs)),
                Column("RULES", str(len(spec.rules))),
                Column("BACKENDS", backends),
                Column("HOSTNAMES", _joined(spec.hostnames), wide=True),
            )
        case TCPRoute():
            backends = _backends(tuple(ref for rule in resource.spec.rules for ref in rule.backend_refs))
            parents = _joined(_parent(parent) for parent in resource.spec.parent_refs)
            return (Column("PARENTS", parents), Column("BACKENDS", backends))
        case App():
            return _app(resource)
        case Workload():
            return _workload(resource)
        case Mesh():
            return (
                Column("TRUST-DOMAIN", resource.spec.trust_domain),
                Column("MODE", resource.spec.mode),
                Column("OUTBOUND", resource.spec.outbound_traffic_policy.mode),
            )
        case ReferenceGrant():
            origins = _joined(f"{origin.kind}.{origin.namespace}" for origin in resource.spec.from_)
            return (Column("FROM", origins), Column("TO", _joined(target.kind for target in resource.spec.to)))
    return ()


def age(created: str, now: datetime) -> str:
    """The time since `created` (RFC 3339), in its one or two largest units: `45s`, `12m`, `3h`, `9d`."""
    if not created:
        return NONE
    passed = max(now - datetime.fromisoformat(created), timedelta())
    seconds = int(passed.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _service(service: Service) -> tuple[Column, ...]:
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    return (
        Column("PORTS", _joined(_port(port) for port in service.spec.ports)),
        Column("SELECTOR", selector or NONE),
        Column("TYPE", service.spec.type, wide=True),
    )


def _app(app: App) -> tuple[Column, ...]:
    spec = app.spec
    return (
        Column("REPLICAS", str(spec.replicas)),
        Column("SERVICE-ACCOUNT", spec.service_account),
        Column("PORTS", _joined(str(port.port) for port in spec.ports)),
        Column("COMMAND", " ".join((*spec.command, *spec.args)) or NONE, wide=True),
        Column("NODE", spec.node or NONE, wide=True),
    )


def _workload(workload: Workload) -> tuple[Column, ...]:
    spec = workload.spec
    return (
        Column("STATE", spec.state),
        Column("APP", spec.app or NONE),
        Column("NODE", spec.node or NONE),
        Column("MODE", spec.mode),
        Column("SERVICE-ACCOUNT", spec.service_account, wide=True),
        Column("ADDRESS", f"{spec.address}:{spec.mesh_port}", wide=True),
        Column("PORTS", _joined(str(port.port) for port in spec.ports), wide=True),
    )


def _port(port: ServicePortSpec) -> str:
    return f"{port.port}/{port.app_protocol or port.name or port.protocol.lower()}"


def _parent(parent: ParentReference) -> str:
    name = f"{parent.kind.lower()}/{parent.name}"
    return f"{name}.{parent.namespace}" if parent.namespace else name


def _backends(refs: tuple[BackendRef, ...]) -> str:
    names = dict.fromkeys(f"{ref.name}.{ref.namespace}" if ref.namespace else ref.name for ref in refs)
    return _joined(names)


def _joined(parts: Iterable[str]) -> str:
    return ",".join(parts) or NONE
