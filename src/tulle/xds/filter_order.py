"""Puts filters in order: the one place where chains are assembled, so that the order is decided once.

Network: filter state first, because everything after it may depend on whom a connection is from and where it goes;
the filter that ends the chain last. HTTP: finding the route first, the router last.
"""

from collections.abc import Sequence

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.on_demand.v3.on_demand_pb2 import OnDemand
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from tulle.xds.packing import packed


def network_filters(state: Sequence[FilterStateValue], terminal: HttpConnectionManager | TcpProxy) -> list[Filter]:
    filters = []
    if state:
        setter = packed(SetFilterState(on_new_connection=state))
        filters.append(Filter(name="envoy.filters.network.set_filter_state", typed_config=setter))
    kind = "http_connection_manager" if isinstance(terminal, HttpConnectionManager) else "tcp_proxy"
    filters.append(Filter(name=f"envoy.filters.network.{kind}", typed_config=packed(terminal)))
    return filters


def http_filters(on_demand: OnDemand, router: Router) -> list[HttpFilter]:
    return [
        HttpFilter(name="envoy.filters.http.on_demand", typed_config=packed(on_demand)),
        HttpFilter(name="envoy.filters.http.router", typed_config=packed(router)),
    ]
