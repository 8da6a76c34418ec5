"""Rules for GRPCRoutes. Source: the validation rules in Gateway API 1.6's CRD."""

import re
from collections.abc import Iterator

from tulle.model.grpc_route import GRPCMethodMatch, GRPCRouteRule, GRPCRouteSpec
from tulle.model.problem import Problem
from tulle.model.rules.expressions import expression_problems
from tulle.model.rules.filters import filters_problems
from tulle.model.rules.http_route import MAX_MATCHES
from tulle.model.rules.references import backend_problems, parent_problems
from tulle.model.rules.session_persistence import session_problems
from tulle.model.rules.unique import repeated
from tulle.model.tree import below

_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def grpc_route_problems(spec: GRPCRouteSpec) -> Iterator[Problem]:
    yield from parent_problems(spec.parent_refs)
    yield from repeated((rule.name for rule in spec.rules), "spec.rules", "name")
    matches = sum(len(rule.matches) for rule in spec.rules)
    if matches > MAX_MATCHES:
        yield Problem("spec.rules", f"have {matches} matches; at most {MAX_MATCHES} are allowed", "split the route")
    for index, rule in enumerate(spec.rules):
        yield from _rule_problems(rule, below("spec.rules", index))


def _rule_problems(rule: GRPCRouteRule, at: str) -> Iterator[Problem]:
    for index, match in enumerate(rule.matches):
        place = below(below(at, "matches"), index)
        if match.method:
            yield from _method_problems(match.method, below(place, "method"))
        yield from repeated((header.name for header in match.headers), below(place, "headers"), "name")
        for number, header in enumerate(match.headers):
            yield from expression_problems(header.type, header.value, f"{place}.headers[{number}].value")
    yield from filters_problems(rule.filters, below(at, "filters"))
    for index, backend in enumerate(rule.backend_refs):
        place = below(below(at, "backendRefs"), index)
        yield from backend_problems(backend, place)
        yield from filters_problems(backend.filters, below(place, "filters"))
    if rule.session_persistence:
        yield from session_problems(rule.session_persistence, below(at, "sessionPersistence"))


def _method_problems(match: GRPCMethodMatch, at: str) -> Iterator[Problem]:
    if not match.service and not match.method:
        yield Problem(at, "`service` or `method` is missing", "name one of them, or both")
    for field, value in (("service", match.service), ("method", match.method)):
        if value:  # absent, it means any
            yield from expression_problems(match.type, value, below(at, field))
    if match.type == "Exact" and match.service and not _SERVICE.fullmatch(match.service):
        yield Problem(below(at, "service"), f'"{match.service}" is no service such as shop.v1.Catalog')
    if match.type == "Exact" and match.method and not _METHOD.fullmatch(match.method):
        yield Problem(below(at, "method"), f'"{match.method}" is no method such as GetItem')
