"""Fetches virtual hosts and clusters when a request needs them, so that a proxy holds only what is called."""

from datetime import timedelta

from envoy.config.route.v3.route_pb2 import Vhds
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.on_demand.v3.on_demand_pb2 import OnDemand, OnDemandCds
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from tulle.xds.limits import ON_DEMAND
from tulle.xds.names import tcp_cluster_pattern
from tulle.xds.sources import ads

# Envoy starts to use a route configuration when its first virtual host has arrived. Of a second route configuration on
# one stream it tells the server nothing, so that one may have to do without. Nothing is lost by not waiting for long.
_FIRST_VIRTUAL_HOST = timedelta(milliseconds=100)


def virtual_hosts() -> Vhds:
    return Vhds(config_source=ads(_FIRST_VIRTUAL_HOST))


def http_clusters() -> OnDemand:
    return OnDemand(odcds=OnDemandCds(source=ads(), timeout=ON_DEMAND))


def tcp_clusters() -> TcpProxy.OnDemand:
    return TcpProxy.OnDemand(odcds_config=ads(), timeout=ON_DEMAND)


def tcp_cluster(client_namespace: str) -> FilterStateValue:
    """Makes the cluster of a captured connection follow from its original destination."""
    value = FilterStateValue(object_key="envoy.tcp_proxy.cluster")
    value.format_string.text_format_source.inline_string = tcp_cluster_pattern(client_namespace)
    return value
