"""The routes to one authority, under exactly the name that clients use."""

from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost

from tulle.model.keys import VirtualHostKey
from tulle.view.types import VirtualHostView
from tulle.xds import type_urls
from tulle.xds.names import name_of
from tulle.xds.resource import Resource, nothing, resource
from tulle.xds.route import not_found, routes

_WILDCARD = "*"


def virtual_host(view: VirtualHostView) -> Resource:
    """Envoy asks by resource name and waits for an alias of the same text; two resources with one domain are refused,
    so the domain is the one form of the host that was asked for.

    Envoy would take a host with an asterisk for a pattern, and answer for hosts that are not this one. Nothing is the
    answer then, which gives the client 404.
    """
    type_url, name = name_of(VirtualHostKey(view.client_namespace, view.authority))
    if _WILDCARD in view.authority:
        return nothing(type_url, name, (name,))
    host = VirtualHost(name=name, domains=[view.authority], routes=[*_routes(view), not_found()])
    return resource(type_urls.VIRTUAL_HOST, name, host.SerializeToString(deterministic=True), (name,))


def _routes(view: VirtualHostView) -> list[Route]:
    return [envoy for ours in view.routes for envoy in routes(ours, view.authority)]
