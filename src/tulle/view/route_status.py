"""What is true of a route at each of its parents, as the Gateway API says it."""

from collections.abc import Iterable, Sequence

from tulle.model.conditions import (
    ACCEPTED,
    REASON_ACCEPTED,
    REASON_CONFLICTED,
    REASON_NO_MATCHING_PARENT,
    REASON_RESOLVED_REFS,
    REASON_UNSUPPORTED_VALUE,
    RESOLVED_REFS,
    Condition,
    RouteParentStatus,
)
from tulle.model.grpc_route import GRPCRoute, GRPCRouteRule
from tulle.model.http_route import HTTPRoute, HTTPRouteRule
from tulle.model.names import ServiceName
from tulle.model.references import ParentReference
from tulle.model.snapshot import PortEntry, ServiceEntry
from tulle.model.tcp_route import TCPRouteRule
from tulle.model.unserved import unserved
from tulle.view.backends import Route, refusal
from tulle.view.reader import Reader
from tulle.view.virtual_host import applicable


def parent_statuses(reader: Reader, route: Route) -> tuple[RouteParentStatus, ...]:
    """One status per parentRef, in order."""
    resolved = _resolved_refs(reader, route)
    return tuple(RouteParentStatus(p, (_accepted(reader, route, p), resolved)) for p in route.spec.parent_refs)


def _accepted(reader: Reader, route: Route, parent: ParentReference) -> Condition:
    generation = route.metadata.generation
    if parent.kind != "Service" or parent.group:
        message = f"{parent.kind} is not served here: attach to a Service (group: '', kind: Service)"
        return Condition(ACCEPTED, "False", REASON_NO_MATCHING_PARENT, message, generation)
    name = ServiceName(parent.namespace or route.metadata.namespace, parent.name)
    service = reader.service(name)
    if service is None:
        return Condition(ACCEPTED, "False", REASON_NO_MATCHING_PARENT, f"service {name} does not exist", generation)
    ports = [p for p in service.ports if parent.port in (None, p.port) and parent.section_name in ("", p.name)]
    if not ports:
        message = f"service {name} has no port {parent.port or parent.section_name}"
        return Condition(ACCEPTED, "False", REASON_NO_MATCHING_PARENT, message, generation)
    rival = _rival(reader, route, service, ports)
    if rival:
        message = f"{rival} is attached to the same port, and a GRPCRoute goes before an HTTPRoute"
        return Condition(ACCEPTED, "False", REASON_CONFLICTED, message, generation)
    problems = unserved(route)
    if problems:
        return Condition(ACCEPTED, "False", REASON_UNSUPPORTED_VALUE, "; ".join(map(str, problems)), generation)
    return Condition(ACCEPTED, "True", REASON_ACCEPTED, _reach(route, name), generation)


def _rival(reader: Reader, route: Route, service: ServiceEntry, ports: Sequence[PortEntry]) -> str:
    """The GRPCRoute because of which an HTTPRoute is not used, for the clients that it is for."""
    if not isinstance(route, HTTPRoute):
        return ""
    others = reader.http_routes(service.name)
    found = (r for p in ports for r in applicable(others, route.metadata.namespace, service, p))
    same = (r for r in found if r.metadata.namespace == route.metadata.namespace)
    return next((str(r.ref) for r in same if isinstance(r, GRPCRoute)), "")


def _reach(route: Route, service: ServiceName) -> str:
    if route.metadata.namespace == service.namespace:
        return f"applies to every client of {service}"
    return f"applies to clients in namespace {route.metadata.namespace} that call {service}"


def _resolved_refs(reader: Reader, route: Route) -> Condition:
    generation = route.metadata.generation
    found = list(_refusals(reader, route))
    if not found:
        return Condition(RESOLVED_REFS, "True", REASON_RESOLVED_REFS, "", generation)
    message = "; ".join(f"{path}: {reason}" for path, reason in found)
    return Condition(RESOLVED_REFS, "False", found[0][1], message, generation)


def _refusals(reader: Reader, route: Route) -> Iterable[tuple[str, str]]:
    rules: tuple[HTTPRouteRule | GRPCRouteRule | TCPRouteRule, ...] = route.spec.rules
    for i, rule in enumerate(rules):
        for j, ref in enumerate(rule.backend_refs):
            reason = refusal(reader, route, ref)
            if reason:
                yield f"spec.rules[{i}].backendRefs[{j}] ({ref.name})", reason
