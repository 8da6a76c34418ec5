"""Rules for HTTPRoutes. Source: the validation rules in Gateway API 1.6's CRD."""

import re
from collections.abc import Iterator

from tulle.model.http_filters import HTTPRouteFilter
from tulle.model.http_route import HTTPPathMatch, HTTPRouteMatch, HTTPRouteRule, HTTPRouteSpec, HTTPRouteTimeouts
from tulle.model.problem import Problem
from tulle.model.rules.expressions import expression_problems
from tulle.model.rules.filters import filters_problems
from tulle.model.rules.references import backend_problems, parent_problems
from tulle.model.rules.session_persistence import session_problems
from tulle.model.rules.unique import repeated
from tulle.model.tree import below

MAX_MATCHES = 128

_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_FORBIDDEN_INSIDE = ("//", "/./", "/../", "%2f", "%2F", "#")
_FORBIDDEN_ENDS = ("/..", "/.")


def http_route_problems(spec: HTTPRouteSpec) -> Iterator[Problem]:
    yield from parent_problems(spec.parent_refs)
    yield from repeated((rule.name for rule in spec.rules), "spec.rules", "name")
    matches = sum(len(rule.matches) for rule in spec.rules)
    if matches > MAX_MATCHES:
        yield Problem("spec.rules", f"have {matches} matches; at most {MAX_MATCHES} are allowed", "split the route")
    for index, rule in enumerate(spec.rules):
        yield from _rule_problems(rule, below("spec.rules", index))


def _rule_problems(rule: HTTPRouteRule, at: str) -> Iterator[Problem]:
    for index, match in enumerate(rule.matches):
        yield from _match_problems(match, below(below(at, "matches"), index))
    yield from filters_problems(rule.filters, below(at, "filters"))
    yield from _prefix_problems(rule, rule.filters, below(at, "filters"))
    if rule.backend_refs and any(f.type == "RequestRedirect" for f in rule.filters):
        message = "a rule that redirects has no backends"
        yield Problem(below(at, "backendRefs"), message, "remove them, or the RequestRedirect filter")
    for index, backend in enumerate(rule.backend_refs):
        place = below(below(at, "backendRefs"), index)
        yield from backend_problems(backend, place)
        yield from filters_problems(backend.filters, below(place, "filters"))
        yield from _prefix_problems(rule, backend.filters, below(place, "filters"))
    if rule.timeouts:
        yield from _timeout_problems(rule.timeouts, below(at, "timeouts"))
    if rule.retry:
        yield from repeated(rule.retry.codes, f"{at}.retry.codes")
    if rule.session_persistence:
        yield from session_problems(rule.session_persistence, below(at, "sessionPersistence"))


def _match_problems(match: HTTPRouteMatch, at: str) -> Iterator[Problem]:
    yield from _path_problems(match.path, f"{at}.path.value")
    yield from repeated((header.name for header in match.headers), below(at, "headers"), "name")
    yield from repeated((param.name for param in match.query_params), below(at, "queryParams"), "name")
    for index, header in enumerate(match.headers):
        yield from expression_problems(header.type, header.value, f"{at}.headers[{index}].value")
    for index, param in enumerate(match.query_params):
        yield from expression_problems(param.type, param.value, f"{at}.queryParams[{index}].value")


def _path_problems(path: HTTPPathMatch, at: str) -> Iterator[Problem]:
    yield from expression_problems(path.type, path.value, at)
    if path.type == "RegularExpression":
        return
    if not path.value.startswith("/"):
        yield Problem(at, f'must start with "/"; "{path.value}" does not', f"write /{path.value}")
    for text in _FORBIDDEN_INSIDE:
        if text in path.value:
            yield Problem(at, f'must not contain "{text}"')
    if path.value.endswith(_FORBIDDEN_ENDS):
        yield Problem(at, 'must not end with "/." or "/.."')
    if path.value and "#" not in path.value and not _PATH.fullmatch(path.value):
        yield Problem(at, f'"{path.value}" has characters that a path cannot have', "write them as %20 and the like")


def _prefix_problems(rule: HTTPRouteRule, filters: tuple[HTTPRouteFilter, ...], at: str) -> Iterator[Problem]:
    """Replacing the prefix that matched needs exactly one match, of a prefix."""
    if len(rule.matches) == 1 and rule.matches[0].path.type == "PathPrefix":
        return
    for index, route_filter in enumerate(filters):
        for field, part in (
            ("requestRedirect", route_filter.request_redirect),
            ("urlRewrite", route_filter.url_rewrite),
        ):
            if part and part.path and part.path.type == "ReplacePrefixMatch":
                message = "ReplacePrefixMatch needs a rule with exactly one match, whose path is a PathPrefix"
                yield Problem(f"{at}[{index}].{field}.path", message, "split the rule")


def _timeout_problems(timeouts: HTTPRouteTimeouts, at: str) -> Iterator[Problem]:
    if timeouts.request and timeouts.backend_request and timeouts.backend_request > timeouts.request:
        message = f"one try ({timeouts.backend_request}) cannot take longer than the request ({timeouts.request})"
        yield Problem(below(at, "backendRequest"), message, f"write {timeouts.request} or less")
