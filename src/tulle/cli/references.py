"""Finds references of routes that lead nowhere, and says what might have been meant."""

from collections.abc import Iterator
from difflib import get_close_matches

from tulle.cli.shown import is_bad
from tulle.model.conditions import (
    ACCEPTED,
    REASON_BACKEND_NOT_FOUND,
    REASON_REF_NOT_PERMITTED,
    REASON_UNSUPPORTED_VALUE,
)
from tulle.model.grpc_route import GRPCRouteRule
from tulle.model.http_route import HTTPRouteRule
from tulle.model.names import ServiceName
from tulle.model.problem import Problem
from tulle.model.references import BackendRef
from tulle.model.snapshot import Snapshot
from tulle.model.tcp_route import TCPRouteRule
from tulle.view import Reader
from tulle.view.backends import Route, refusal
from tulle.view.route_status import parent_statuses


def lost_references(mesh: Snapshot, route: Route) -> Iterator[Problem]:
    """A problem for each parent and backend that does not exist in `mesh`, or may not be referred to."""
    reader = Reader(mesh)
    for index, parent in enumerate(parent_statuses(reader, route)):
        for condition in parent.conditions:
            if condition.type == ACCEPTED and is_bad(condition) and condition.reason != REASON_UNSUPPORTED_VALUE:
                yield Problem(f"spec.parentRefs[{index}]", condition.message)
    rules: tuple[HTTPRouteRule | GRPCRouteRule | TCPRouteRule, ...] = route.spec.rules
    for i, rule in enumerate(rules):
        for j, ref in enumerate(rule.backend_refs):
            reason = refusal(reader, route, ref)
            if reason:
                message, hint = _explained(mesh, route, ref, reason)
                yield Problem(f"spec.rules[{i}].backendRefs[{j}]", message, hint)


def _explained(mesh: Snapshot, route: Route, ref: BackendRef, reason: str) -> tuple[str, str]:
    """The message and the hint."""
    name = ServiceName(ref.namespace or route.metadata.namespace, ref.name)
    if reason == REASON_BACKEND_NOT_FOUND:
        return _not_found(mesh, name, ref.port)
    if reason == REASON_REF_NOT_PERMITTED:
        message = f"namespace {name.namespace} does not let {route.kind}s of {route.metadata.namespace} refer to it"
        return message, f"declare a ReferenceGrant in namespace {name.namespace}"
    return f"{ref.kind} is no kind of backend", "refer to a Service"


def _not_found(mesh: Snapshot, name: ServiceName, port: int | None) -> tuple[str, str]:
    service = mesh.services.get(name)
    if service is None:
        neighbours = [each.name for each in mesh.services if each.namespace == name.namespace]
        near = get_close_matches(name.name, neighbours, n=1)
        return f"service {name} does not exist", f"did you mean {near[0]}?" if near else ""
    ports = ", ".join(str(each.port) for each in service.ports)
    message = f"service {name} has no port {port}" if port else "a port is missing"
    return message, f"it has {ports}" if ports else ""
