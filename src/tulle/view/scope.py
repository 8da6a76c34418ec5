"""The keys a proxy starts with, and those it may ask for.

Modes differ here and nowhere else: in which workloads a proxy serves.
"""

from typing import Final, Literal

from msgspec import Struct

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.names import ProxyId, WorkloadName
from tulle.view.listener import inbound_ports, passthrough
from tulle.view.proxy import workloads_of
from tulle.view.reader import Reader

DIRECTIONS: Final[tuple[Literal["inbound", "outbound"], ...]] = ("inbound", "outbound")


class Scope(Struct, frozen=True):
    """What a proxy sees of the mesh: the keys it starts with, and the namespaces whose routes it may ask for."""

    clusters: tuple[Key, ...]
    listeners: tuple[ListenerKey, ...]
    namespaces: tuple[str, ...]

    def allows(self, key: Key) -> bool:
        """Whether a key is part of this view. Asking for another's answers as if there were no such thing."""
        match key:
            case ClusterKey() | EndpointsKey():
                return bool(self.namespaces)
            case VirtualHostKey() | RouteConfigKey() | TcpClusterKey() | TcpEndpointsKey():
                return key.client_namespace in self.namespaces
            case ListenerKey():
                return key in self.listeners
            case LocalClusterKey() | PassthroughClusterKey() | IdentitiesClusterKey():
                return key in self.clusters
        return False


def scope(reader: Reader, proxy: ProxyId) -> Scope:
    """Clusters and listeners of the workloads that the proxy serves; the rest it asks for by name, on demand."""
    workloads = workloads_of(reader, proxy)
    clusters: dict[Key, None] = {}
    if workloads:
        clusters[IdentitiesClusterKey(str(proxy))] = None
    for workload in workloads:
        outside = passthrough(reader, workload)
        if outside:
            clusters[outside] = None
        clusters.update({LocalClusterKey(port): None for port in inbound_ports(reader, workload)})
    names = [WorkloadName(w.metadata.namespace, w.metadata.name) for w in workloads if w.spec.network]
    listeners = tuple(ListenerKey(n, direction) for n in names for direction in DIRECTIONS)
    return Scope(tuple(clusters), listeners, tuple(sorted({w.metadata.namespace for w in workloads})))


def agent_may_ask(node: str, key: Key) -> bool:
    """Whether a key is for the agent of a node itself."""
    return isinstance(key, NameKey) or (isinstance(key, NodeKey) and key.node == node)
