"""Says what a resource has to do with others: where it applies, who answers for it, what it refers to."""

from collections.abc import Iterable

from msgspec import Struct

from tulle.cli.columns import NONE
from tulle.cli.overview import Overview, rejection
from tulle.cli.unheard_ports import unheard_ports
from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute, GRPCRouteRule
from tulle.model.http_route import HTTPRoute, HTTPRouteRule
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, WorkloadName
from tulle.model.namespace import Namespace
from tulle.model.references import BackendRef, ParentReference
from tulle.model.service import Service
from tulle.model.service_account import ServiceAccount
from tulle.model.snapshot import Snapshot
from tulle.model.tcp_route import TCPRoute, TCPRouteRule
from tulle.model.workload import Workload
from tulle.view.proxy import proxy_of


class Relation(Struct, frozen=True):
    """A table under a title. No rows: there is nothing of the sort."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def relations(state: Overview, resource: Resource) -> tuple[Relation, ...]:
    mesh = state.mesh
    match resource:
        case Service():
            return _of_service(mesh, resource)
        case HTTPRoute() | GRPCRoute() | TCPRoute():
            return _of_route(mesh, resource)
        case App():
            namespace, name = resource.metadata.namespace, resource.metadata.name
            replicas = [w for w in _in(mesh, namespace) if w.spec.app == name]
            troubles = tuple(sorted((w.metadata.name, w.spec.message) for w in replicas if w.spec.message))
            return (
                _workloads("Workloads", replicas),
                *([Relation("Problems", ("WORKLOAD", "MESSAGE"), troubles)] if troubles else ()),
            )
        case ServiceAccount():
            namespace, name = resource.metadata.namespace, resource.metadata.name
            own = (w for w in _in(mesh, namespace) if w.spec.service_account == name)
            return (_workloads("Runs as it", own),)
        case Workload():
            return _of_workload(state, resource)
        case Namespace():
            names = sorted(ref for ref in mesh.objects if ref.namespace == resource.metadata.name)
            return (Relation("Holds", ("KIND", "NAME"), tuple((ref.kind, ref.name) for ref in names)),)
    return ()


def _of_service(mesh: Snapshot, service: Service) -> tuple[Relation, ...]:
    name = ServiceName(service.metadata.namespace, service.metadata.name)
    problems = unheard_ports(mesh, service)
    unheard = tuple((problem.path, problem.message, problem.hint) for problem in problems)
    routes = (*mesh.http_routes.get(name, ()), *mesh.tcp_routes.get(name, ()))
    refused = [mesh.workloads[workload] for workload in mesh.refused.get(name, ())]
    return (
        _workloads("Workloads", (mesh.workloads[member] for member in mesh.members.get(name, ()))),
        *([_workloads("Refused for their service account", refused)] if refused else ()),
        Relation("Routes", ("KIND", "NAME", "NAMESPACE"), tuple((r.kind, r.name, r.namespace) for r in routes)),
        *([Relation("Warnings", ("ABOUT", "MESSAGE", "HINT"), unheard)] if unheard else ()),
    )


def _of_route(mesh: Snapshot, route: HTTPRoute | GRPCRoute | TCPRoute) -> tuple[Relation, ...]:
    own = route.metadata.namespace
    rules: tuple[HTTPRouteRule | GRPCRouteRule | TCPRouteRule, ...] = route.spec.rules
    rows = [
        (rule.name or str(index), *_backend_cells(mesh, ref, own, sum(each.weight for each in rule.backend_refs)))
        for index, rule in enumerate(rules)
        for ref in rule.backend_refs
    ]
    return (
        Relation(
            "Applies to",
            ("KIND", "NAME", "NAMESPACE", "PORT", "EXISTS"),
            tuple(_parent_row(mesh, parent, own) for parent in route.spec.parent_refs),
        ),
        Relation("Backends", ("RULE", "NAME", "NAMESPACE", "PORT", "WEIGHT", "SHARE", "EXISTS"), tuple(rows)),
    )


def _parent_row(mesh: Snapshot, parent: ParentReference, own: str) -> tuple[str, ...]:
    namespace = parent.namespace or own
    exists = ServiceName(namespace, parent.name) in mesh.services if parent.kind == "Service" else False
    return (parent.kind, parent.name, namespace, _port(parent.port), _yes(exists))


def _backend_cells(mesh: Snapshot, ref: BackendRef, own: str, total: int) -> tuple[str, ...]:
    namespace = ref.namespace or own
    share = f"{100 * ref.weight / total:.0f}%" if total else NONE
    exists = ServiceName(namespace, ref.name) in mesh.services
    return (ref.name, namespace, _port(ref.port), str(ref.weight), share, _yes(exists))


def _of_workload(state: Overview, workload: Workload) -> tuple[Relation, ...]:
    name = WorkloadName(workload.metadata.namespace, workload.metadata.name)
    services = state.mesh.services_of.get(name, ())
    proxy = str(proxy_of(name, workload))
    states = tuple(
        (p.id, _yes(p.connected), _yes(p.in_sync), rejection(p) or NONE) for p in state.proxies if p.id == proxy
    )
    return (
        Relation("Answers for", ("SERVICE", "NAMESPACE"), tuple((s.name, s.namespace) for s in services)),
        Relation("Proxy", ("ID", "CONNECTED", "IN-SYNC", "LAST-REJECTION"), states),
    )


def _workloads(title: str, workloads: Iterable[Workload]) -> Relation:
    rows = (
        (w.metadata.name, w.spec.state, w.spec.node or NONE, w.spec.service_account, w.spec.mode) for w in workloads
    )
    return Relation(title, ("NAME", "STATE", "NODE", "SERVICE-ACCOUNT", "MODE"), tuple(sorted(rows)))


def _in(mesh: Snapshot, namespace: str) -> tuple[Workload, ...]:
    return tuple(workload for name, workload in mesh.workloads.items() if name.namespace == namespace)


def _port(port: int | None) -> str:
    return str(port) if port else NONE


def _yes(true: bool) -> str:
    return "yes" if true else "no"
