"""Resources to make snapshots of, with everything that a test does not care about filled in."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st
from msgspec.structs import replace

from tulle.model.app import App, AppPort, AppSpec
from tulle.model.grpc_route import GRPCBackendRef, GRPCRoute, GRPCRouteRule, GRPCRouteSpec
from tulle.model.http_route import HTTPBackendRef, HTTPRoute, HTTPRouteRule, HTTPRouteSpec
from tulle.model.kinds import Resource
from tulle.model.mesh import Mesh, MeshSpec
from tulle.model.metadata import Metadata
from tulle.model.mode import MODE_LABEL, Mode
from tulle.model.namespace import Namespace
from tulle.model.parse import parse_yaml
from tulle.model.reference_grant import ReferenceGrant, ReferenceGrantFrom, ReferenceGrantSpec, ReferenceGrantTo
from tulle.model.references import GATEWAY_GROUP, BackendRef, ParentReference
from tulle.model.service import SERVICE_ACCOUNTS, Service, ServicePortSpec, ServiceSpec
from tulle.model.tcp_route import TCPRoute, TCPRouteRule, TCPRouteSpec
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec, WorkloadState

HTTP = ServicePortSpec(8080, "http")
TCP = ServicePortSpec(9000, "tcp")


def declared(text: str, namespace: str = "shop") -> tuple[Resource, ...]:
    """The resources of a YAML text that has no problem."""
    parsed, problems = parse_yaml(text, "in.yaml", namespace)
    assert not problems, "\n".join(map(str, problems))
    return tuple(p.resource for p in parsed)


def service(
    name: str,
    ports: Sequence[ServicePortSpec] = (HTTP,),
    *,
    namespace: str = "shop",
    address: str = "",
    selector: Mapping[str, str] | None = None,
    accounts: str = "",
) -> Service:
    """Selects the workloads with the label app=<name> unless told otherwise; `accounts` is the annotation that says
    who they may be."""
    chosen = {"app": name} if selector is None else selector
    metadata = Metadata(name, namespace, annotations={SERVICE_ACCOUNTS: accounts} if accounts else {})
    return Service(metadata=metadata, spec=ServiceSpec(selector=chosen, ports=tuple(ports), cluster_ip=address))


def workload(
    name: str,
    app: str = "",
    *,
    namespace: str = "shop",
    node: str = "n1",
    account: str = "",
    labels: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    mode: Mode = "sidecar",
    state: WorkloadState = "Ready",
    address: str = "10.0.0.1",
    mesh_port: int = 15101,
    network: str | None = None,
) -> Workload:
    """An instance of `app`, which is also its label and service account."""
    spec = WorkloadSpec(
        address=address,
        mesh_port=mesh_port,
        node=node,
        network=f"/run/tulle/ns/{namespace}~{name}" if network is None else network,
        service_account=account or app or "default",
        mode=mode,
        ports=tuple(WorkloadPortSpec(number, n) for n, number in (ports or {}).items()),
        state=state,
    )
    own = ({"app": app} if app else {}) if labels is None else labels
    return Workload(metadata=Metadata(name, namespace, own), spec=spec)


def parent(name: str, *, namespace: str = "", port: int | None = None, section: str = "") -> ParentReference:
    return ParentReference(name, "", "Service", namespace, section, port)


def http_backend(name: str, weight: int = 1, *, port: int = 8080, namespace: str = "") -> HTTPBackendRef:
    return HTTPBackendRef(name=name, namespace=namespace, port=port, weight=weight)


def http_route(
    name: str,
    *rules: HTTPRouteRule,
    parents: Sequence[ParentReference] = (parent("catalog"),),
    namespace: str = "shop",
    created: str = "",
) -> HTTPRoute:
    metadata = Metadata(name, namespace, creation_timestamp=created)
    return HTTPRoute(metadata=metadata, spec=HTTPRouteSpec(parent_refs=tuple(parents), rules=rules))


def grpc_route(
    name: str,
    *rules: GRPCRouteRule,
    parents: Sequence[ParentReference] = (parent("catalog"),),
    namespace: str = "shop",
) -> GRPCRoute:
    return GRPCRoute(metadata=Metadata(name, namespace), spec=GRPCRouteSpec(parent_refs=tuple(parents), rules=rules))


def grpc_backend(name: str, weight: int = 1, *, port: int = 8080) -> GRPCBackendRef:
    return GRPCBackendRef(name=name, port=port, weight=weight)


def tcp_route(
    name: str,
    *backends: BackendRef,
    parents: Sequence[ParentReference] = (parent("catalog"),),
    namespace: str = "shop",
    created: str = "",
) -> TCPRoute:
    return TCPRoute(
        metadata=Metadata(name, namespace, creation_timestamp=created),
        spec=TCPRouteSpec(rules=(TCPRouteRule(backends),), parent_refs=tuple(parents)),
    )


def grant(
    namespace: str, *, kind: str = "HTTPRoute", source: str = "shop", to: str = "", target_kind: str = "Service"
) -> ReferenceGrant:
    """Lets routes of `source` refer to services of `namespace`: the one named `to`, else all."""
    spec = ReferenceGrantSpec(
        (ReferenceGrantFrom(GATEWAY_GROUP, kind, source),), (ReferenceGrantTo("", target_kind, to),)
    )
    return ReferenceGrant(metadata=Metadata("grant", namespace), spec=spec)


def app(
    name: str,
    *,
    namespace: str = "shop",
    node: str = "n1",
    mode: str = "",
    account: str = "",
    labels: Mapping[str, str] | None = None,
) -> App:
    """Its service account has its name unless told otherwise; `labels` are the workloads'."""
    metadata = Metadata(name, namespace, {MODE_LABEL: mode} if mode else {})
    spec = AppSpec(ports=(AppPort(8080, "http"),), node=node, service_account=account or name, labels=labels or {})
    return App(metadata=metadata, spec=spec)


def mesh(spec: MeshSpec) -> Mesh:
    return Mesh(metadata=Metadata("default"), spec=spec)


def namespace(name: str, *, mode: str = "") -> Namespace:
    return Namespace(metadata=Metadata(name, labels={MODE_LABEL: mode} if mode else {}))


# Random meshes: few names, so that resources refer to each other, clash and replace each other.

names = st.sampled_from(["a", "b", "c"])
namespaces = st.sampled_from(["shop", "bank"])
_some_ports = st.sampled_from(
    [(HTTP,), (TCP,), (HTTP, TCP), (replace(HTTP, target_port="web"),), (replace(TCP, target_port=8080),), ()]
)
_labels = st.dictionaries(st.sampled_from(["app", "tier"]), names, max_size=2)
_parents = st.lists(
    st.builds(parent, names, namespace=st.sampled_from(["", "shop", "bank"]), port=st.sampled_from([None, 8080, 9000])),
    max_size=2,
)
_http_backends = st.lists(
    st.builds(http_backend, names, st.integers(0, 2), namespace=st.sampled_from(["", "bank"])), max_size=2
).map(tuple)
_created = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])

services = st.builds(
    service,
    names,
    _some_ports,
    namespace=namespaces,
    selector=_labels,
    address=st.sampled_from(["", "", "", "240.240.0.1", "240.244.0.1", "10.96.0.1", "fd00::1"]),
    accounts=st.sampled_from(["", "", "a", "a, b"]),
)
workloads = st.builds(
    workload,
    names,
    names,
    namespace=namespaces,
    node=st.sampled_from(["", "n1", "n2"]),
    labels=_labels,
    ports=st.sampled_from([{}, {"web": 8080}, {"web": 8081}]),
    mode=st.sampled_from(["sidecar", "node"]),
    state=st.sampled_from(["Starting", "Ready", "NotReady", "Draining"]),
    network=st.sampled_from([None, ""]),
)
http_routes = st.builds(
    lambda name, refs, parents, space, created: http_route(
        name, HTTPRouteRule(backend_refs=refs), parents=parents, namespace=space, created=created
    ),
    names,
    _http_backends,
    _parents,
    namespaces,
    _created,
)
grpc_routes = st.builds(
    lambda name, parents, space: grpc_route(
        name, GRPCRouteRule(backend_refs=(grpc_backend("a"),)), parents=parents, namespace=space
    ),
    names,
    _parents,
    namespaces,
)
tcp_routes = st.builds(
    lambda name, ref, parents, space: tcp_route(name, ref, parents=parents, namespace=space),
    names,
    st.builds(BackendRef, name=names, port=st.just(9000), weight=st.integers(0, 2)),
    _parents,
    namespaces,
)
grants = st.builds(grant, namespaces, source=namespaces, to=st.sampled_from(["", "a"]))
apps = st.builds(
    app, names, namespace=namespaces, node=st.sampled_from(["", "n1", "n2"]), account=names, labels=_labels
)
meshes = st.sampled_from([mesh(MeshSpec()), mesh(MeshSpec(trust_domain="other.example", mode="node"))])
spaces = st.builds(namespace, namespaces, mode=st.sampled_from(["", "node"]))
resources: st.SearchStrategy[Resource] = st.one_of(
    services, services, workloads, workloads, http_routes, grpc_routes, tcp_routes, grants, apps, meshes, spaces
)
