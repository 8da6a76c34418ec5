"""Turns HTTPRoutes and GRPCRoutes into one ordered list of routes, with Gateway API's precedence and fallbacks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from tulle.model.grpc_route import (
    GRPCBackendRef,
    GRPCHeaderMatch,
    GRPCMethodMatch,
    GRPCRoute,
    GRPCRouteMatch,
    GRPCRouteRule,
)
from tulle.model.http_filters import GRPCRouteFilter, HTTPHeaderFilter, HTTPPathModifier, HTTPRouteFilter
from tulle.model.http_route import HTTPBackendRef, HTTPHeaderMatch, HTTPRoute, HTTPRouteMatch, HTTPRouteRule
from tulle.model.keys import ClusterKey
from tulle.model.unserved import SERVED_BACKEND_FILTERS, SERVED_FILTERS
from tulle.view.backends import target
from tulle.view.reader import Reader
from tulle.view.types import (
    Backend,
    DirectResponse,
    Forward,
    HeaderEdit,
    PathMatch,
    PathRewrite,
    Redirect,
    RouteMatch,
    RouteView,
    ValueMatch,
)

HttpRoute: TypeAlias = HTTPRoute | GRPCRoute
Rule: TypeAlias = HTTPRouteRule | GRPCRouteRule
Filter: TypeAlias = HTTPRouteFilter | GRPCRouteFilter
Rank: TypeAlias = tuple[int, ...]

ANY_PATH = PathMatch("prefix", "/")
ANY_NAME = "[^/]+"
# Gateway API leaves the place of regular expressions to the implementation: between exact paths and prefixes.
PATH_KINDS: Mapping[str, Literal["exact", "prefix", "regex"]] = {
    "Exact": "exact",
    "PathPrefix": "prefix",
    "RegularExpression": "regex",
}
PATH_RANK = {"exact": 0, "regex": 1, "prefix": 2}


def ordered_routes(reader: Reader, routes: Sequence[HttpRoute]) -> tuple[RouteView, ...]:
    """All matches of all rules in the order in which they must be tried. `routes` are of one kind.

    Source: Gateway API, HTTPRouteRule.matches and GRPCRouteRule.matches: by match, then the oldest route, then by
    name, then by the order of rules.
    """
    ranked = []
    for route in sorted(routes, key=lambda r: (r.metadata.creation_timestamp or "", r.ref)):
        rules: tuple[Rule, ...] = route.spec.rules
        for index, rule in enumerate(rules):
            ranked += [(rank, _route(reader, route, rule, index, match)) for rank, match in _matches(rule)]
    ranked.sort(key=lambda pair: pair[0])  # stable: the order above decides between equals
    return tuple(view for _, view in ranked)


def _matches(rule: Rule) -> Iterable[tuple[Rank, RouteMatch]]:
    if isinstance(rule, GRPCRouteRule):
        return ((_grpc_rank(m), _grpc_match(m)) for m in rule.matches or (GRPCRouteMatch(),))
    return ((_http_rank(m), m) for m in map(_http_match, rule.matches))


def _http_rank(match: RouteMatch) -> Rank:
    return (
        PATH_RANK[match.path.kind],
        -len(match.path.value),
        not match.method,
        -len(match.headers),
        -len(match.query),
    )


def _grpc_rank(match: GRPCRouteMatch) -> Rank:
    """The specification counts characters; it says nothing of regular expressions, which come after plain names."""
    method = match.method or GRPCMethodMatch()
    names = bool(method.service or method.method)
    kind = 2 if not names else 1 if method.type == "RegularExpression" else 0
    return (kind, -len(method.service), -len(method.method), -len(_headers(match)))


def _http_match(match: HTTPRouteMatch) -> RouteMatch:
    path = PathMatch(PATH_KINDS[match.path.type], match.path.value)
    headers = _headers(match)
    query = _first_by_name(ValueMatch(q.name, _kind(q.type), q.value) for q in match.query_params)
    return RouteMatch(path, headers, query, match.method or "")


def _grpc_match(match: GRPCRouteMatch) -> RouteMatch:
    return RouteMatch(_grpc_path(match), _headers(match))


def _headers(match: HTTPRouteMatch | GRPCRouteMatch) -> tuple[ValueMatch, ...]:
    headers: tuple[HTTPHeaderMatch | GRPCHeaderMatch, ...] = match.headers
    return _first_by_name(ValueMatch(h.name.lower(), _kind(h.type), h.value) for h in headers)


def _grpc_path(match: GRPCRouteMatch) -> PathMatch:
    method = match.method
    if method is None or not (method.service or method.method):
        return ANY_PATH
    if method.type == "RegularExpression":
        # Grouped, so that an alternative of one part does not swallow the other part.
        return PathMatch("regex", f"/(?:{method.service or ANY_NAME})/(?:{method.method or ANY_NAME})")
    if not method.service:
        return PathMatch("regex", f"/{ANY_NAME}/{method.method}")
    if not method.method:
        return PathMatch("prefix", f"/{method.service}")
    return PathMatch("exact", f"/{method.service}/{method.method}")


def _kind(kind: str) -> Literal["exact", "regex"]:
    return "regex" if kind == "RegularExpression" else "exact"


def _first_by_name(matches: Iterable[ValueMatch]) -> tuple[ValueMatch, ...]:
    """Of several entries with one name only the first counts."""
    first: dict[str, ValueMatch] = {}
    for match in matches:
        first.setdefault(match.name, match)
    return tuple(first.values())


def _route(reader: Reader, route: HttpRoute, rule: Rule, index: int, match: RouteMatch) -> RouteView:
    timeouts = rule.timeouts if isinstance(rule, HTTPRouteRule) else None
    return RouteView(
        name=f"{route.kind}/{route.metadata.namespace}/{route.metadata.name}/{rule.name or index}",
        match=match,
        action=_action(reader, route, rule),
        request_headers=header_edit(f.request_header_modifier for f in rule.filters),
        response_headers=header_edit(f.response_header_modifier for f in rule.filters),
        timeout=timeouts.request or None if timeouts else None,
        backend_timeout=timeouts.backend_request or None if timeouts else None,
    )


def _action(reader: Reader, route: HttpRoute, rule: Rule) -> Forward | Redirect | DirectResponse:
    """A filter that is not served here, or a rule that leads nowhere, is answered with an error as the specification
    demands: skipping it would send requests where they must not go."""
    failure = _failure(route)
    backend_refs: tuple[HTTPBackendRef | GRPCBackendRef, ...] = rule.backend_refs
    if not _filters_are_served(rule.filters, backend_refs):
        return DirectResponse(failure, "a filter of this route is not supported")
    if isinstance(rule, HTTPRouteRule):
        redirect = next((f.request_redirect for f in rule.filters if f.request_redirect), None)
        if redirect:
            path = _path_rewrite(redirect.path)
            return Redirect(redirect.scheme or "", redirect.hostname, redirect.port, path, redirect.status_code)
    backends = tuple(_backend(reader, route, ref) for ref in backend_refs if ref.weight)
    if not backends:
        return DirectResponse(failure, "this route has no backend")
    return _forward(backends, rule.filters, failure)


def _filters_are_served(filters: Sequence[Filter], backends: Sequence[HTTPBackendRef | GRPCBackendRef]) -> bool:
    of_backends: list[Filter] = [f for b in backends for f in b.filters]
    return all(f.type in SERVED_FILTERS for f in filters) and all(f.type in SERVED_BACKEND_FILTERS for f in of_backends)


def _failure(route: HttpRoute) -> int:
    """What a request gets that leads nowhere: 500, and of gRPC the status that clients know as UNAVAILABLE."""
    return 503 if isinstance(route, GRPCRoute) else 500


def _forward(backends: tuple[Backend, ...], filters: Sequence[Filter], failure: int) -> Forward:
    rewrite = next((f.url_rewrite for f in filters if isinstance(f, HTTPRouteFilter) and f.url_rewrite), None)
    if rewrite is None:
        return Forward(backends, failure=failure)
    return Forward(backends, rewrite.hostname, _path_rewrite(rewrite.path), failure)


def _backend(reader: Reader, route: HttpRoute, ref: HTTPBackendRef | GRPCBackendRef) -> Backend:
    port = target(reader, route, ref)
    return Backend(
        cluster=ClusterKey(port) if port else None,
        weight=ref.weight,
        request_headers=header_edit(f.request_header_modifier for f in ref.filters),
        response_headers=header_edit(f.response_header_modifier for f in ref.filters),
    )


def _path_rewrite(path: HTTPPathModifier | None) -> PathRewrite | None:
    if path is None:
        return None
    if path.type == "ReplaceFullPath":
        return PathRewrite("full", path.replace_full_path or "/")
    return PathRewrite("prefix", path.replace_prefix_match or "/")


def header_edit(modifiers: Iterable[HTTPHeaderFilter | None]) -> HeaderEdit:
    """The one header modifier of a list of filters (the specification allows one)."""
    modifier = next((m for m in modifiers if m), None)
    if modifier is None:
        return HeaderEdit()
    return HeaderEdit(
        tuple((h.name, h.value) for h in modifier.set),
        tuple((h.name, h.value) for h in modifier.add),
        tuple(modifier.remove),
    )
