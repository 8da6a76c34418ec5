"""Which requests a route takes.

Source: Gateway API, HTTPRouteMatch: all conditions of a match hold, paths are compared without the query.
"""

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, RouteMatch
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from tulle.view import types as view


def everything() -> RouteMatch:
    """Whatever has a path, `*` included."""
    return RouteMatch(prefix="")


def match(wanted: view.RouteMatch) -> RouteMatch:
    headers = [HeaderMatcher(name=h.name, string_match=_value(h)) for h in wanted.headers]
    if wanted.method:
        headers.insert(0, HeaderMatcher(name=":method", string_match=StringMatcher(exact=wanted.method)))
    query = [QueryParameterMatcher(name=q.name, string_match=_value(q)) for q in wanted.query]
    result = RouteMatch(headers=headers, query_parameters=query)
    match wanted.path.kind:
        case "exact":
            result.path = wanted.path.value
        case "regex":
            result.safe_regex.regex = wanted.path.value
        case "prefix":
            prefix = elements(wanted.path.value)
            if prefix:
                result.path_separated_prefix = prefix
            else:
                result.prefix = "/"
    return result


def elements(prefix: str) -> str:
    """A prefix without the slash at its end, which says nothing: `/a/` is `/a`, and `/` is empty."""
    return prefix.rstrip("/")


def _value(wanted: view.ValueMatch) -> StringMatcher:
    if wanted.kind == "regex":
        return StringMatcher(safe_regex=RegexMatcher(regex=wanted.value))
    return StringMatcher(exact=wanted.value)
