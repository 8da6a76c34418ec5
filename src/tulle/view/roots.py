"""The keys a proxy starts with, and the keys it may ask for.

Modes differ here and nowhere else: in which workloads a proxy serves.
"""

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
from tulle.model.workload import Workload
from tulle.view.listener import inbound_ports, passthrough
from tulle.view.proxy import workloads_of
from tulle.view.reader import Reader


def roots(reader: Reader, proxy: ProxyId) -> tuple[Key, ...]:
    """Clusters, then listeners; the rest is asked for by name, on demand."""
    workloads = workloads_of(reader, proxy)
    clusters: dict[Key, None] = {}
    if workloads:
        clusters[IdentitiesClusterKey(str(proxy))] = None
    for workload in workloads:
        outside = passthrough(reader, workload)
        if outside:
            clusters[outside] = None
        clusters.update({LocalClusterKey(port): None for port in inbound_ports(reader, workload)})
    names = (_name(w) for w in workloads if w.spec.network)
    listeners = [ListenerKey(n, direction) for n in names for direction in ("inbound", "outbound")]
    return (*clusters, *listeners)


def client_namespaces(reader: Reader, proxy: ProxyId) -> tuple[str, ...]:
    """The namespaces whose routes a proxy uses."""
    return tuple(sorted({w.metadata.namespace for w in workloads_of(reader, proxy)}))


def may_ask(reader: Reader, proxy: ProxyId, key: Key) -> bool:
    """Whether a key is part of a proxy's own view. Asking for another's answers as if there were no such thing."""
    match key:
        case ClusterKey() | EndpointsKey():
            return True
        case VirtualHostKey() | RouteConfigKey() | TcpClusterKey() | TcpEndpointsKey():
            return key.client_namespace in client_namespaces(reader, proxy)
        case NodeKey() | NameKey():
            return False
        case ListenerKey() | LocalClusterKey() | PassthroughClusterKey() | IdentitiesClusterKey():
            return key in roots(reader, proxy)


def agent_may_ask(node: str, key: Key) -> bool:
    """Whether a key is for the agent of a node itself."""
    return isinstance(key, NameKey) or (isinstance(key, NodeKey) and key.node == node)


def _name(workload: Workload) -> WorkloadName:
    return WorkloadName(workload.metadata.namespace, workload.metadata.name)
