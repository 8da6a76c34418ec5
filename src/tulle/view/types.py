"""Views: the part of a snapshot that one key needs, and the only argument of translation.

Equal views give equal bytes. Every collection is a tuple in a stated order.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from tulle.model.dns_server import DnsServer
from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    PassthroughClusterKey,
    TcpClusterKey,
    TcpEndpointsKey,
)
from tulle.model.names import SpiffeId, WorkloadPort

PortProtocol: TypeAlias = Literal["http", "http2", "tcp"]


class CapturedPort(Struct, frozen=True, gc=False):
    """A virtual address and port whose protocol is not the one of its address range."""

    addresses: tuple[str, ...]
    port: int
    protocol: PortProtocol


class OutboundListenerView(Struct, frozen=True, gc=False):
    """Captures what a workload sends. `network` is the path of its namespace, `passthrough` where traffic to unknown
    addresses goes (None: refused), `exceptions` in order of address and port."""

    key: ListenerKey
    network: str
    identity: SpiffeId
    client_namespace: str
    passthrough: PassthroughClusterKey | None
    exceptions: tuple[CapturedPort, ...] = ()


class InboundListenerView(Struct, frozen=True, gc=False):
    """A workload's mesh address: mutual TLS, then the application's port that the server name says."""

    key: ListenerKey
    address: str
    port: int
    identity: SpiffeId
    ports: tuple[WorkloadPort, ...]


class RouteConfigView(Struct, frozen=True, gc=False):
    client_namespace: str


class ValueMatch(Struct, frozen=True, gc=False):
    """A header or query parameter: `exact` or `regex` (RE2, the whole value)."""

    name: str
    kind: Literal["exact", "regex"]
    value: str


class PathMatch(Struct, frozen=True, gc=False):
    """`prefix` is by path element, as Gateway API's PathPrefix: /a matches /a and /a/b, not /ab."""

    kind: Literal["exact", "prefix", "regex"]
    value: str


class RouteMatch(Struct, frozen=True, gc=False):
    path: PathMatch
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str = ""


class HeaderEdit(Struct, frozen=True, gc=False):
    """Gateway API's HTTPHeaderFilter: set replaces, add appends, remove drops."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class Backend(Struct, frozen=True, gc=False):
    """Part of a forward. `cluster` None: an invalid reference, whose share is answered with an error."""

    cluster: ClusterKey | None
    weight: int
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()


class PathRewrite(Struct, frozen=True, gc=False):
    """`prefix` replaces the prefix that the match names; `full` the whole path."""

    kind: Literal["full", "prefix"]
    value: str


class Forward(Struct, frozen=True, gc=False, tag=True):
    """`failure` is the status that the share of invalid references gets."""

    backends: tuple[Backend, ...]
    host_rewrite: str = ""
    path_rewrite: PathRewrite | None = None
    failure: int = 500


class Redirect(Struct, frozen=True, gc=False, tag=True):
    """Empty or None fields keep what the request has."""

    scheme: str = ""
    hostname: str = ""
    port: int | None = None
    path: PathRewrite | None = None
    status: int = 302


class DirectResponse(Struct, frozen=True, gc=False, tag=True):
    status: int
    body: str = ""


class RouteView(Struct, frozen=True, gc=False):
    """One route, in the order in which they are tried. `name` says which object and rule it comes from.
    `timeout` None: no limit; `backend_timeout` limits one try."""

    name: str
    match: RouteMatch
    action: Forward | Redirect | DirectResponse
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()
    timeout: timedelta | None = None
    backend_timeout: timedelta | None = None


class VirtualHostView(Struct, frozen=True, gc=False):
    """The routes to one authority. No routes: everything is answered with 404."""

    client_namespace: str
    authority: str
    routes: tuple[RouteView, ...]


class ClusterView(Struct, frozen=True, gc=False):
    """An upstream. `identities`: who may answer; none means that nobody is trusted yet and every dial fails."""

    key: ClusterKey | TcpClusterKey
    protocol: PortProtocol
    identities: tuple[SpiffeId, ...]
    endpoints: EndpointsKey | TcpEndpointsKey


class LocalClusterView(Struct, frozen=True, gc=False):
    key: LocalClusterKey
    network: str


class PassthroughClusterView(Struct, frozen=True, gc=False):
    key: PassthroughClusterKey


class IdentitiesClusterView(Struct, frozen=True, gc=False):
    key: IdentitiesClusterKey
    identities: tuple[SpiffeId, ...]


class EndpointView(Struct, frozen=True, gc=False):
    """One instance: its mesh address and the port inside. `weight` is its share of the group's traffic, 0 none;
    `draining`: finishes what it has, takes nothing new."""

    address: str
    port: int
    target: WorkloadPort
    weight: int = 1
    draining: bool = False


class EndpointGroup(Struct, frozen=True, gc=False):
    """Endpoints that share a weight: one backend of a TCPRoute, or all of a service."""

    weight: int
    endpoints: tuple[EndpointView, ...]


class EndpointsView(Struct, frozen=True, gc=False):
    key: EndpointsKey | TcpEndpointsKey
    groups: tuple[EndpointGroup, ...]


class HttpProbeView(Struct, frozen=True, gc=False, tag="http"):
    port: int
    path: str = "/"


class TcpProbeView(Struct, frozen=True, gc=False, tag="tcp"):
    port: int


class GrpcProbeView(Struct, frozen=True, gc=False, tag="grpc"):
    port: int
    service: str = ""


class ExecProbeView(Struct, frozen=True, gc=False, tag="exec"):
    command: tuple[str, ...]


class ProbeView(Struct, frozen=True, gc=False):
    """Seconds and counts have Kubernetes' names and meaning."""

    check: HttpProbeView | TcpProbeView | GrpcProbeView | ExecProbeView
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class AppView(Struct, frozen=True, gc=False):
    """An application as a node has to run it. A change in anything but `replicas` makes its workloads anew."""

    namespace: str
    name: str
    service_account: str
    replicas: int
    command: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str
    run_as: str
    ports: tuple[tuple[str, int], ...]  # (name, port)
    labels: Mapping[str, str]
    mode: Literal["sidecar", "node"]
    restart: Literal["Always", "OnFailure", "Never"]
    liveness: ProbeView | None = None
    readiness: ProbeView | None = None
    startup: ProbeView | None = None
    termination_grace: float = 10


class DnsView(Struct, frozen=True, gc=False):
    """How names are answered inside workloads. `domains` in the order in which the mesh has them; `upstreams` answer
    the names that are not the mesh's, none means the servers of each host."""

    domains: tuple[str, ...] = ("cluster.local",)
    upstreams: tuple[DnsServer, ...] = ()


class NodeView(Struct, frozen=True, gc=False):
    """What a node's agent has to run, and what it has to know for that."""

    node: str
    trust_domain: str
    apps: tuple[AppView, ...]
    dns: DnsView = DnsView()


class NameView(Struct, frozen=True, gc=False):
    """Addresses of a name: IPv4 and IPv6. A name that the mesh does not know has no view."""

    key: NameKey
    addresses: tuple[str, ...]


View: TypeAlias = (
    OutboundListenerView
    | InboundListenerView
    | RouteConfigView
    | VirtualHostView
    | ClusterView
    | LocalClusterView
    | PassthroughClusterView
    | IdentitiesClusterView
    | EndpointsView
    | NodeView
    | NameView
)
