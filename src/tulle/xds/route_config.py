"""The routes of a namespace's clients: a shell, whose virtual hosts arrive when they are asked for."""

from envoy.config.route.v3.route_pb2 import RouteConfiguration

from tulle.model.keys import RouteConfigKey
from tulle.view.types import RouteConfigView
from tulle.xds import type_urls
from tulle.xds.features import on_demand
from tulle.xds.names import name_of
from tulle.xds.resource import Resource, resource


def route_config(view: RouteConfigView) -> Resource:
    _, name = name_of(RouteConfigKey(view.client_namespace))
    config = RouteConfiguration(name=name, vhds=on_demand.virtual_hosts())
    return resource(type_urls.ROUTE_CONFIG, name, config.SerializeToString(deterministic=True))
