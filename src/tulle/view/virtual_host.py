"""The routes of one namespace's clients to one authority."""

from collections.abc import Sequence

from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.keys import ClusterKey, VirtualHostKey
from tulle.model.names import ServicePort
from tulle.model.snapshot import PortEntry, ServiceEntry
from tulle.view.authority import port_addressed
from tulle.view.backends import Route
from tulle.view.reader import Reader
from tulle.view.routes import ANY_PATH, HttpRoute, ordered_routes
from tulle.view.types import Backend, Forward, RouteMatch, RouteView, VirtualHostView


def virtual_host(reader: Reader, key: VirtualHostKey) -> VirtualHostView:
    """Never None: an authority that means nothing has a virtual host without routes, because a removed resource
    leaves the request that asked for it waiting."""
    addressed = port_addressed(reader, key.client_namespace, key.authority)
    routes = _routes(reader, key.client_namespace, *addressed) if addressed else ()
    return VirtualHostView(key.client_namespace, key.authority, routes)


def _routes(reader: Reader, client_namespace: str, service: ServiceEntry, port: PortEntry) -> tuple[RouteView, ...]:
    attached = applicable(reader.http_routes(service.name), client_namespace, service, port)
    if attached:
        return ordered_routes(reader, of_first_kind(attached))
    backend = Backend(ClusterKey(ServicePort(service.name, port.port)), 1)
    return (
        RouteView(f"Service/{service.name.namespace}/{service.name.name}", RouteMatch(ANY_PATH), Forward((backend,))),
    )


def applicable(routes: Sequence[Route], client_namespace: str, service: ServiceEntry, port: PortEntry) -> list[Route]:
    """The routes that clients of a namespace get for a service's port: their own consumer routes where there are
    any, else the producer's. Source: Gateway API for mesh (GAMMA), "Route namespaces"."""
    here = [r for r in routes if _names_port(r, service, port)]
    if client_namespace != service.name.namespace:
        consumer = [r for r in here if r.metadata.namespace == client_namespace]
        if consumer:
            return consumer
    return [r for r in here if r.metadata.namespace == service.name.namespace]


def _names_port(route: Route, service: ServiceEntry, port: PortEntry) -> bool:
    return any(
        p.kind == "Service"
        and not p.group
        and p.name == service.name.name
        and (p.namespace or route.metadata.namespace) == service.name.namespace
        and p.port in (None, port.port)
        and p.section_name in ("", port.name)
        for p in route.spec.parent_refs
    )


def of_first_kind(routes: list[Route]) -> list[HttpRoute]:
    """GRPCRoutes win over HTTPRoutes on the same port. Source: GAMMA, "Route types"."""
    grpc: list[HttpRoute] = [r for r in routes if isinstance(r, GRPCRoute)]
    return grpc or [r for r in routes if isinstance(r, HTTPRoute)]
