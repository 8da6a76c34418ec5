"""Says which fields of a valid resource this version does not serve yet, so that nothing is ignored in silence.

Such a resource is stored; its status says so (condition Accepted, reason UnsupportedValue).
"""

from collections.abc import Iterator, Sequence

from tulle.model.app import App, ResourceRequirements
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_filters import GRPCRouteFilter, HTTPRouteFilter
from tulle.model.http_route import HTTPRoute, HTTPRouteRule
from tulle.model.kinds import Resource
from tulle.model.problem import Problem
from tulle.model.service import Service, ServiceSpec
from tulle.model.tcp_route import TCPRoute
from tulle.model.tree import below
from tulle.model.vips import is_virtual

SERVED_FILTERS = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite")
SERVED_BACKEND_FILTERS = ("RequestHeaderModifier", "ResponseHeaderModifier")


def unserved(resource: Resource) -> tuple[Problem, ...]:
    """A problem for each field that has no effect in this version."""
    match resource:
        case HTTPRoute():
            return tuple(_http_route(resource))
        case GRPCRoute():
            return tuple(_grpc_route(resource))
        case TCPRoute():
            return tuple(_default_gateways(resource))
        case Service():
            return tuple(_service(resource.spec))
        case App():
            return tuple(_app(resource))
        case _:
            return ()


def _not_yet(at: str, what: str, hint: str = "") -> Problem:
    return Problem(at, f"{what} not served yet", hint)


def _http_route(route: HTTPRoute) -> Iterator[Problem]:
    yield from _default_gateways(route)
    for index, rule in enumerate(route.spec.rules):
        yield from _http_rule(rule, below("spec.rules", index))


def _http_rule(rule: HTTPRouteRule, at: str) -> Iterator[Problem]:
    yield from _filters(rule.filters, SERVED_FILTERS, below(at, "filters"))
    for index, backend in enumerate(rule.backend_refs):
        yield from _filters(backend.filters, SERVED_BACKEND_FILTERS, f"{at}.backendRefs[{index}].filters")
    if rule.retry:
        yield _not_yet(below(at, "retry"), "retries are")
    if rule.session_persistence:
        yield _not_yet(below(at, "sessionPersistence"), "session persistence is")


def _grpc_route(route: GRPCRoute) -> Iterator[Problem]:
    yield from _default_gateways(route)
    for index, rule in enumerate(route.spec.rules):
        at = below("spec.rules", index)
        yield from _filters(rule.filters, SERVED_FILTERS, below(at, "filters"))
        for number, backend in enumerate(rule.backend_refs):
            yield from _filters(backend.filters, SERVED_BACKEND_FILTERS, f"{at}.backendRefs[{number}].filters")
        if rule.session_persistence:
            yield _not_yet(below(at, "sessionPersistence"), "session persistence is")


def _filters(filters: Sequence[HTTPRouteFilter | GRPCRouteFilter], served: Sequence[str], at: str) -> Iterator[Problem]:
    for index, route_filter in enumerate(filters):
        if route_filter.type not in served:
            yield _not_yet(below(at, index), f"the filter {route_filter.type} is")


def _default_gateways(route: HTTPRoute | GRPCRoute | TCPRoute) -> Iterator[Problem]:
    if route.spec.use_default_gateways == "All":
        yield _not_yet("spec.useDefaultGateways", "gateways are")


def _service(spec: ServiceSpec) -> Iterator[Problem]:
    if spec.type != "ClusterIP":
        yield _not_yet("spec.type", f"the type {spec.type} is", "the service is served inside the mesh")
    if spec.session_affinity != "None":
        yield _not_yet("spec.sessionAffinity", "session affinity is")
    if spec.cluster_ip and not is_virtual(spec.cluster_ip):
        hint = "the service has a virtual address of the mesh"
        yield Problem("spec.clusterIP", f"{spec.cluster_ip} is no virtual address of the mesh and not used", hint)
    if spec.external_ips:
        yield _not_yet("spec.externalIPs", "external addresses are")
    if spec.publish_not_ready_addresses:
        yield _not_yet("spec.publishNotReadyAddresses", "workloads that are not ready are")
    for field, value in (
        ("spec.internalTrafficPolicy", spec.internal_traffic_policy),
        ("spec.externalTrafficPolicy", spec.external_traffic_policy),
    ):
        if value == "Local":
            yield _not_yet(field, "a preference for local workloads is")
    if spec.traffic_distribution:
        yield _not_yet("spec.trafficDistribution", "a preference for near workloads is")
    for index, port in enumerate(spec.ports):
        if port.protocol != "TCP":
            yield _not_yet(f"spec.ports[{index}].protocol", f"{port.protocol} is")


def _app(app: App) -> Iterator[Problem]:
    if app.spec.resources != ResourceRequirements():
        yield _not_yet("spec.resources", "limits and requests of resources are")
    for index, port in enumerate(app.spec.ports):
        if port.protocol != "TCP":
            yield _not_yet(f"spec.ports[{index}].protocol", f"{port.protocol} is")
