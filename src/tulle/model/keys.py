"""Keys: the typed name of every xDS resource there can be.

xDS is a function from keys to bytes. A key says what a resource is about and who may share it; no key of something
that is shared mentions a single proxy.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from tulle.model.names import ServicePort, WorkloadName, WorkloadPort


class ListenerKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """A workload's listener: `outbound` captures what it sends, `inbound` is its mesh address."""

    workload: WorkloadName
    direction: Literal["inbound", "outbound"]


class RouteConfigKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The routes of every client in a namespace: a shell whose virtual hosts arrive on demand."""

    client_namespace: str


class VirtualHostKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The routes of clients in `client_namespace` to an authority, exactly as they wrote it (`catalog:8080`)."""

    client_namespace: str
    authority: str


class ClusterKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The upstream of one service port."""

    port: ServicePort


class TcpClusterKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The upstream of TCP connections that clients in a namespace open to a virtual address (`240.244.0.1:9000`)."""

    client_namespace: str
    address: str


class LocalClusterKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """An application's port, dialled from inside its namespace."""

    port: WorkloadPort


class PassthroughClusterKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The original destination, for traffic that leaves the mesh. `host_gateway`: the proxy has no network of the
    host and hands connections to the agent's gateway socket."""

    host_gateway: str = ""


class IdentitiesClusterKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """Never connected to: makes the certificates of a proxy's workloads ready before they are needed."""

    proxy: str


class EndpointsKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The instances behind one service port."""

    port: ServicePort


class TcpEndpointsKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """The instances behind a virtual address and port, weighted as the client namespace's TCPRoute says."""

    client_namespace: str
    address: str


class NodeKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """What a node's agent has to run, and how. For agents, not for proxies."""

    node: str


class NameKey(Struct, frozen=True, gc=False, order=True, tag=True):
    """A DNS name as looked up in a namespace (lower case, no trailing dot). For agents, not for proxies."""

    client_namespace: str
    host: str


Key: TypeAlias = (
    ListenerKey
    | RouteConfigKey
    | VirtualHostKey
    | ClusterKey
    | TcpClusterKey
    | LocalClusterKey
    | PassthroughClusterKey
    | IdentitiesClusterKey
    | EndpointsKey
    | TcpEndpointsKey
    | NodeKey
    | NameKey
)
