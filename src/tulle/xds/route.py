"""One route of a virtual host: which requests it takes, and what becomes of them."""

from collections.abc import Sequence
from typing import assert_never

from envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, RedirectAction, Route, RouteAction
from envoy.type.v3.percent_pb2 import FractionalPercent
from msgspec.structs import replace

from tulle.view.types import Backend, DirectResponse, Forward, HeaderEdit, Redirect, RouteView
from tulle.xds.features import match, weights
from tulle.xds.features.header_modifier import combined, headers_to_add, headers_to_remove
from tulle.xds.features.redirect import redirect
from tulle.xds.features.rewrite import new_path
from tulle.xds.features.timeout import set_timeouts


def routes(view: RouteView, authority: str) -> list[Route]:
    """Envoy's routes for one of ours: two where a share of the requests cannot be forwarded."""
    match view.action:
        case Redirect() as action:
            return [_route(view, redirect=redirect(action, view.match.path, authority))]
        case DirectResponse(status, body):
            return [_route(view, direct_response=direct_response(status, body))]
        case Forward() as action:
            return _forward(view, action)
        case _:
            assert_never(view.action)


def not_found() -> Route:
    """Says 404 for what no route takes. Without it Envoy would ask for the virtual host again at every such request."""
    return Route(name="not-found", match=match.everything(), direct_response=direct_response(404))


def direct_response(status: int, body: str = "") -> DirectResponseAction:
    response = DirectResponseAction(status=status)
    if body:
        response.body.inline_string = body
    return response


def _forward(view: RouteView, action: Forward) -> list[Route]:
    backends = weights.valid(action.backends)
    if not backends:
        return [_route(view, direct_response=direct_response(action.failure))]
    share = weights.invalid_share(action.backends)
    lost = [] if share is None else [_lost(view, share, action.failure)]
    if weights.have_headers(backends):
        # Envoy edits for the backend first and for the rule after it; Gateway API has it the other way round.
        backends = tuple(_with_headers_of_rule(view, backend) for backend in backends)
        view = replace(view, request_headers=HeaderEdit(), response_headers=HeaderEdit())
    return [*lost, _route(view, route=_route_action(view, action, backends))]


def _lost(view: RouteView, share: FractionalPercent, status: int) -> Route:
    route = _route(view, direct_response=direct_response(status))
    route.match.runtime_fraction.CopyFrom(RuntimeFractionalPercent(default_value=share))
    return route


def _with_headers_of_rule(view: RouteView, backend: Backend) -> Backend:
    return replace(
        backend,
        request_headers=combined(view.request_headers, backend.request_headers),
        # A response passes the backend's filters first.
        response_headers=combined(backend.response_headers, view.response_headers),
    )


def _route_action(view: RouteView, forward: Forward, backends: Sequence[Backend]) -> RouteAction:
    action = RouteAction(host_rewrite_literal=forward.host_rewrite) if forward.host_rewrite else RouteAction()
    weights.set_clusters(action, backends)
    set_timeouts(action, view.timeout, view.backend_timeout)
    if forward.path_rewrite:
        path = new_path(forward.path_rewrite, view.match.path)
        if path.regex is not None:
            action.regex_rewrite.CopyFrom(path.regex)
        elif path.prefix:
            action.prefix_rewrite = path.prefix
    return action


def _route(
    view: RouteView,
    *,
    route: RouteAction | None = None,
    redirect: RedirectAction | None = None,
    direct_response: DirectResponseAction | None = None,
) -> Route:
    """Exactly one of the actions is given."""
    return Route(
        name=view.name,
        match=match.match(view.match),
        route=route,
        redirect=redirect,
        direct_response=direct_response,
        request_headers_to_add=headers_to_add(view.request_headers),
        request_headers_to_remove=headers_to_remove(view.request_headers),
        response_headers_to_add=headers_to_add(view.response_headers),
        response_headers_to_remove=headers_to_remove(view.response_headers),
    )
