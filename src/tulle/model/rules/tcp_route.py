"""Rules for TCPRoutes."""

from collections.abc import Iterator

from tulle.model.problem import Problem
from tulle.model.rules.references import backend_problems, parent_problems
from tulle.model.tcp_route import TCPRouteSpec


def tcp_route_problems(spec: TCPRouteSpec) -> Iterator[Problem]:
    yield from parent_problems(spec.parent_refs)
    for index, rule in enumerate(spec.rules):
        for number, backend in enumerate(rule.backend_refs):
            yield from backend_problems(backend, f"spec.rules[{index}].backendRefs[{number}]")
