"""Rules for the filters of routes."""

import re
from collections.abc import Iterator, Sequence

from tulle.model.http_filters import (
    NOT_TO_EDIT,
    GRPCRouteFilter,
    HTTPCORSFilter,
    HTTPExternalAuthFilter,
    HTTPHeaderFilter,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRouteFilter,
)
from tulle.model.problem import Problem
from tulle.model.rules.references import backend_problems
from tulle.model.rules.unique import repeated
from tulle.model.tree import below

RouteFilter = HTTPRouteFilter | GRPCRouteFilter

_FIELDS = {
    "RequestHeaderModifier": ("request_header_modifier", "requestHeaderModifier"),
    "ResponseHeaderModifier": ("response_header_modifier", "responseHeaderModifier"),
    "RequestMirror": ("request_mirror", "requestMirror"),
    "RequestRedirect": ("request_redirect", "requestRedirect"),
    "URLRewrite": ("url_rewrite", "urlRewrite"),
    "ExtensionRef": ("extension_ref", "extensionRef"),
    "CORS": ("cors", "cors"),
    "ExternalAuth": ("external_auth", "externalAuth"),
}
# A proxy refuses all that it is told in one piece if one path in it cannot be written into a request.
_IN_PATHS = re.compile(r"[!-~]*")
_ONCE = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS")


def filters_problems(filters: Sequence[RouteFilter], at: str) -> Iterator[Problem]:
    """The problems of a list of filters at path `at`."""
    yield from repeated((f.type if f.type in _ONCE else None for f in filters), at, "type")
    types = {f.type for f in filters}
    if {"RequestRedirect", "URLRewrite"} <= types:
        yield Problem(at, "RequestRedirect and URLRewrite cannot be used together", "put the rewrite into the redirect")
    for index, route_filter in enumerate(filters):
        yield from _filter_problems(route_filter, below(at, index))


def _filter_problems(route_filter: RouteFilter, at: str) -> Iterator[Problem]:
    for type_, (attribute, field) in _FIELDS.items():
        given = getattr(route_filter, attribute, None) is not None
        if given and type_ != route_filter.type:
            hint = f"write type: {type_}, or remove `{field}`"
            yield Problem(below(at, field), f"does not belong to the type {route_filter.type}", hint)
        if not given and type_ == route_filter.type:
            yield Problem(below(at, field), f"`{field}` is missing, which the type {type_} needs")
    if route_filter.request_header_modifier:
        yield from _header_problems(route_filter.request_header_modifier, below(at, "requestHeaderModifier"))
    if route_filter.response_header_modifier:
        yield from _header_problems(route_filter.response_header_modifier, below(at, "responseHeaderModifier"))
    if route_filter.request_mirror:
        yield from _mirror_problems(route_filter.request_mirror, below(at, "requestMirror"))
    if isinstance(route_filter, HTTPRouteFilter):
        yield from _http_problems(route_filter, at)


def _http_problems(route_filter: HTTPRouteFilter, at: str) -> Iterator[Problem]:
    if route_filter.request_redirect and route_filter.request_redirect.path:
        yield from _path_problems(route_filter.request_redirect.path, f"{at}.requestRedirect.path")
    if route_filter.url_rewrite and route_filter.url_rewrite.path:
        yield from _path_problems(route_filter.url_rewrite.path, f"{at}.urlRewrite.path")
    if route_filter.cors:
        yield from _cors_problems(route_filter.cors, below(at, "cors"))
    if route_filter.external_auth:
        yield from _auth_problems(route_filter.external_auth, below(at, "externalAuth"))


def _header_problems(headers: HTTPHeaderFilter, at: str) -> Iterator[Problem]:
    yield from repeated((header.name for header in headers.set), below(at, "set"), "name")
    yield from repeated((header.name for header in headers.add), below(at, "add"), "name")
    yield from repeated(headers.remove, below(at, "remove"))
    for field, edited in (("set", headers.set), ("add", headers.add)):
        for index, header in enumerate(edited):
            yield from _name_problems(header.name, f"{at}.{field}[{index}].name")
    for index, name in enumerate(headers.remove):
        yield from _name_problems(name, f"{at}.remove[{index}]")


def _name_problems(name: str, at: str) -> Iterator[Problem]:
    if name.lower() in NOT_TO_EDIT:
        hint = "use a URLRewrite with `hostname`" if name.lower() == "host" else "remove it"
        yield Problem(at, f"`{name}` is not a route's to edit", hint)


def _mirror_problems(mirror: HTTPRequestMirrorFilter, at: str) -> Iterator[Problem]:
    yield from backend_problems(mirror.backend_ref, below(at, "backendRef"))
    if mirror.percent is not None and mirror.fraction is not None:
        yield Problem(at, "`percent` and `fraction` say the same thing", "keep one")
    if mirror.fraction and mirror.fraction.numerator > mirror.fraction.denominator:
        yield Problem(below(at, "fraction"), "the numerator is larger than the denominator")


def _path_problems(modifier: HTTPPathModifier, at: str) -> Iterator[Problem]:
    values = {
        "ReplaceFullPath": ("replaceFullPath", modifier.replace_full_path),
        "ReplacePrefixMatch": ("replacePrefixMatch", modifier.replace_prefix_match),
    }
    for type_, (field, value) in values.items():
        if value is None and type_ == modifier.type:
            yield Problem(below(at, field), f"`{field}` is missing, which the type {type_} needs")
        if value is not None and type_ != modifier.type:
            yield Problem(below(at, field), f"does not belong to the type {modifier.type}", f"write type: {type_}")
        if value is not None and not _IN_PATHS.fullmatch(value):
            yield Problem(
                below(at, field), f"{value!r} has characters that a path cannot have", "write them as %20 and the like"
            )


def _cors_problems(cors: HTTPCORSFilter, at: str) -> Iterator[Problem]:
    lists: dict[str, Sequence[str]] = {
        "allowOrigins": cors.allow_origins,
        "allowMethods": cors.allow_methods,
        "allowHeaders": cors.allow_headers,
    }
    for field, values in lists.items():
        if "*" in values and len(values) > 1:
            yield Problem(below(at, field), "'*' allows everything and must be alone", "remove the other entries")
    for field, values in {**lists, "exposeHeaders": cors.expose_headers}.items():
        yield from repeated(values, below(at, field))


def _auth_problems(auth: HTTPExternalAuthFilter, at: str) -> Iterator[Problem]:
    yield from backend_problems(auth.backend_ref, below(at, "backendRef"))
    for protocol, field, value in (("GRPC", "grpc", auth.grpc), ("HTTP", "http", auth.http)):
        if value is None and protocol == auth.protocol:
            yield Problem(below(at, field), f"`{field}` is missing, which the protocol {protocol} needs")
        if value is not None and protocol != auth.protocol:
            yield Problem(below(at, field), f"does not belong to the protocol {auth.protocol}", "remove it")
    if auth.grpc:
        yield from repeated(auth.grpc.allowed_headers, f"{at}.grpc.allowedHeaders")
    if auth.http:
        yield from repeated(auth.http.allowed_headers, f"{at}.http.allowedHeaders")
        yield from repeated(auth.http.allowed_response_headers, f"{at}.http.allowedResponseHeaders")
