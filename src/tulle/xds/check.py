"""Puts resources into a bootstrap of their own, so that `envoy --mode validate` can say whether it takes them.

Dynamic resources are checked by a proxy only when they arrive; this is for tests, and for looking at a change before
it is made.
"""

from collections.abc import Iterable
from datetime import timedelta

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from google.protobuf.json_format import MessageToJson, Parse

from tulle.model.keys import IdentitiesClusterKey
from tulle.xds import type_urls
from tulle.xds.bootstrap import ProxySettings, bootstrap
from tulle.xds.names import key_of
from tulle.xds.packing import packed
from tulle.xds.resource import Resource


def static_bootstrap(settings: ProxySettings, resources: Iterable[Resource]) -> bytes:
    """The bootstrap of `settings`, as JSON, with `resources` in it as if they were its own.

    The cluster that prefetches certificates is left out: Envoy 1.40 crashes on one that does not come over the stream.
    """
    config = Parse(bootstrap(settings), Bootstrap())
    hosts = []
    for resource in resources:
        match resource.type_url:
            case type_urls.LISTENER:
                config.static_resources.listeners.append(Listener.FromString(resource.body))
            case type_urls.CLUSTER if not isinstance(key_of(resource.type_url, resource.name), IdentitiesClusterKey):
                config.static_resources.clusters.append(Cluster.FromString(resource.body))
            case type_urls.ENDPOINTS:
                config.static_resources.clusters.append(_holder(resource.body))
            case type_urls.VIRTUAL_HOST if resource.body:
                hosts.append(VirtualHost.FromString(resource.body))
            case type_urls.ROUTE_CONFIG:
                config.static_resources.listeners.append(_reader(RouteConfiguration.FromString(resource.body)))
    if hosts:
        routes = RouteConfiguration(name="hosts", virtual_hosts=hosts, validate_clusters={"value": False})
        config.static_resources.listeners.append(_reader(routes))
    return MessageToJson(config, preserving_proto_field_name=True).encode()


def _holder(endpoints: bytes) -> Cluster:
    """A cluster that has these endpoints at once."""
    assignment = ClusterLoadAssignment.FromString(endpoints)
    return Cluster(
        name=f"endpoints of {assignment.cluster_name}",
        type=Cluster.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=assignment,
    )


def _reader(routes: RouteConfiguration) -> Listener:
    """A listener that uses these routes. Never opened."""
    manager = HttpConnectionManager(
        stat_prefix="check",
        route_config=routes,
        http_filters=[HttpFilter(name="envoy.filters.http.router", typed_config=packed(Router()))],
    )
    listener = Listener(name=f"reader of {routes.name}")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    terminal = Filter(name="envoy.filters.network.http_connection_manager", typed_config=packed(manager))
    listener.filter_chains.append(FilterChain(filters=[terminal]))
    return listener
