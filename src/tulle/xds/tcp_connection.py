"""Carries bytes from a connection to a cluster."""

from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import ON_DOWNSTREAM_TLS_HANDSHAKE, TcpProxy
from google.protobuf.wrappers_pb2 import UInt32Value

from tulle.xds import limits
from tulle.xds.features import on_demand

_ATTEMPTS = UInt32Value(value=3)
# Never dialled: filter state names the cluster, but Envoy insists on a name here.
_NO_CLUSTER = "none"


def captured() -> TcpProxy:
    """To the cluster that filter state names, fetched if need be. Silence is not an error for TCP: dead peers are
    found by keep-alive."""
    return TcpProxy(
        stat_prefix="outbound",
        cluster=_NO_CLUSTER,
        on_demand=on_demand.tcp_clusters(),
        max_connect_attempts=_ATTEMPTS,
        idle_timeout=limits.NO_LIMIT,
    )


def passthrough(cluster: str) -> TcpProxy:
    return TcpProxy(stat_prefix="passthrough", cluster=cluster, idle_timeout=limits.NO_LIMIT)


def inbound(cluster: str) -> TcpProxy:
    """To the application, which is dialled only when the caller has proved who it is."""
    return TcpProxy(
        stat_prefix="inbound",
        cluster=cluster,
        idle_timeout=limits.NO_LIMIT,
        upstream_connect_mode=ON_DOWNSTREAM_TLS_HANDSHAKE,
        max_early_data_bytes=UInt32Value(value=limits.BUFFER_BYTES),
    )
