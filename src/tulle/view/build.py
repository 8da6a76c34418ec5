"""Builds the view of any key: one builder per kind."""

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
from tulle.view import cluster, endpoints, listener, node, virtual_host
from tulle.view.reader import Reader
from tulle.view.types import PassthroughClusterView, RouteConfigView, View


def build(reader: Reader, key: Key) -> View | None:
    """The view of `key`, or None where there is no such thing (any more). `reader.facts` says what it rests on."""
    match key:
        case ListenerKey():
            return listener.listener(reader, key)
        case RouteConfigKey():
            return RouteConfigView(key.client_namespace)
        case VirtualHostKey():
            return virtual_host.virtual_host(reader, key)
        case ClusterKey():
            return cluster.cluster(reader, key)
        case TcpClusterKey():
            return cluster.tcp_cluster(reader, key)
        case LocalClusterKey():
            return cluster.local_cluster(reader, key)
        case PassthroughClusterKey():
            return PassthroughClusterView(key)
        case IdentitiesClusterKey():
            return cluster.identities_cluster(reader, key)
        case EndpointsKey():
            return endpoints.endpoints(reader, key)
        case TcpEndpointsKey():
            return endpoints.tcp_endpoints(reader, key)
        case NodeKey():
            return node.node(reader, key)
        case NameKey():
            return node.name(reader, key)
