"""Says in one place how a mesh is: services with their workloads, proxies, nodes, and what is wrong with each."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

from tulle.api.backend import AuthorityState, NodeState, ProxyState
from tulle.api.messages import NodeList, ProxyList
from tulle.cli.client import ControlPlane
from tulle.cli.kinds import Target
from tulle.cli.shown import Shown, conditions, fetch, is_bad
from tulle.identity.tokens import parse_rule
from tulle.model import snapshot
from tulle.model.app import App
from tulle.model.kinds import Resource, kind_named
from tulle.model.names import AppName, ServiceName
from tulle.model.snapshot import Snapshot
from tulle.model.workload import Workload

# What the indexes of a snapshot are made from.
INDEXED = ("Namespace", "Service", "Workload", "HTTPRoute", "GRPCRoute", "TCPRoute", "App")


class ServiceState(Struct, frozen=True):
    """A service and how many of its workloads take requests."""

    name: ServiceName
    protocols: tuple[str, ...]
    ready: int
    total: int


class Overview(Struct, frozen=True):
    """`objects` are those of INDEXED, `mesh` the snapshot that they make."""

    objects: tuple[Shown, ...]
    mesh: Snapshot
    proxies: tuple[ProxyState, ...]
    nodes: tuple[NodeState, ...]
    authority: AuthorityState

    def services(self, namespace: str) -> tuple[ServiceState, ...]:
        """Those of a namespace, of all where it is empty."""
        names = sorted(name for name in self.mesh.services if not namespace or name.namespace == namespace)
        return tuple(service_state(self.mesh, name) for name in names)


def overview(control: ControlPlane) -> Overview:
    """Asks for everything. Raises Refused, Unreachable."""
    objects = tuple(shown for name in INDEXED for shown in _all(control, name))
    mesh = snapshot.build(shown.resource for shown in objects)
    proxies = control.get("/v1/proxies", ProxyList).items
    nodes = control.get("/v1/nodes", NodeList).items
    authority = control.get("/v1/authority", AuthorityState)
    return Overview(objects, mesh, proxies, nodes, authority)


def service_state(mesh: Snapshot, name: ServiceName) -> ServiceState:
    members = [mesh.workloads[workload] for workload in mesh.members.get(name, ())]
    ready = sum(workload.spec.state == "Ready" for workload in members)
    protocols = tuple(f"{port.port}/{port.protocol}" for port in mesh.services[name].ports)
    return ServiceState(name, protocols, ready, len(members))


def rejection(proxy: ProxyState) -> str:
    """Why a proxy last refused what it was told, in one line; nothing where it accepts everything."""
    refusals = (f"{short_type(each.type_url)}: {each.last_nack}" for each in proxy.types if each.last_nack)
    return " ".join(next(refusals, "").split())


def short_type(type_url: str) -> str:
    return type_url.rpartition(".")[2]


def troubles(state: Overview, namespace: str) -> tuple[str, ...]:
    """A sentence for everything that is not as it should be."""
    return (
        *_service_troubles(state.services(namespace)),
        *_workload_troubles(_of(state.mesh.objects.values(), Workload), namespace),
        *_app_troubles(state, namespace),
        *_condition_troubles(state.objects, namespace),
        *(f"proxy {p.id} refused {refusal}" for p in state.proxies if (refusal := rejection(p))),
        *(f"proxy {p.id} is not connected" for p in state.proxies if not p.connected),
        *(f"node {n.name} is not connected" for n in state.nodes if not n.connected),
        *(
            f"certificate of {p.identity} on node {n.name}: {p.message}"
            for n in state.nodes
            for p in n.certificate_problems
        ),
        *([state.authority.problem] if state.authority.problem else []),
    )


def _all(control: ControlPlane, name: str) -> tuple[Shown, ...]:
    kind = kind_named(name)
    return fetch(control, Target(kind), "") if kind else ()


def _service_troubles(services: Iterable[ServiceState]) -> tuple[str, ...]:
    return tuple(
        f"service {s.name}: " + ("selects no workload" if s.total == 0 else f"none of {s.total} workloads is ready")
        for s in services
        if s.ready == 0
    )


def _workload_troubles(workloads: Iterable[Workload], namespace: str) -> tuple[str, ...]:
    return tuple(
        f"workload {w.metadata.name}.{w.metadata.namespace} is not ready"
        + (f": {w.spec.message}" if w.spec.message else "")
        for w in workloads
        if w.spec.state == "NotReady" and namespace in ("", w.metadata.namespace)
    )


def _app_troubles(state: Overview, namespace: str) -> Iterator[str]:
    """Apps with a node and no workload. One that runs until it has done its work may have done it."""
    objects = state.mesh.objects.values()
    running = {AppName(w.metadata.namespace, w.spec.app) for w in _of(objects, Workload)}
    nodes = {node.name: node for node in state.nodes}
    for app in _of(objects, App):
        name, spec = AppName(app.metadata.namespace, app.metadata.name), app.spec
        wanted = spec.node and spec.replicas and spec.restart_policy == "Always" and namespace in ("", name.namespace)
        if wanted and name not in running:
            yield f"app {name} runs nowhere: {_why_nowhere(nodes.get(spec.node), app)}"


def _why_nowhere(node: NodeState | None, app: App) -> str:
    if node is None:
        return f"no node {app.spec.node} has joined"
    namespace, account = app.metadata.namespace, app.spec.service_account
    if not any(parse_rule(rule).allows(namespace, account) for rule in node.service_accounts):
        return f"node {node.name} may not run {namespace}/{account}: make a join token that allows it"
    return f"node {node.name} has made no workload of it; the log of its agent says why"


def _condition_troubles(objects: Iterable[Shown], namespace: str) -> tuple[str, ...]:
    return tuple(
        f"{shown.resource.kind.lower()} {shown.resource.metadata.name}: {condition.reason}: {condition.message}"
        for shown in objects
        for condition in conditions(shown.status)
        if is_bad(condition) and namespace in ("", shown.resource.metadata.namespace)
    )


T = TypeVar("T", bound=Resource)


def _of(resources: Iterable[Resource], kind: type[T]) -> tuple[T, ...]:
    return tuple(resource for resource in resources if isinstance(resource, kind))
