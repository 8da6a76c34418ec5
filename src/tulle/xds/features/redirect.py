"""Answers with another address.

Source: Gateway API, HTTPRequestRedirectFilter. Its rule on ports: the named one, else that of the named scheme, else
the one the request came to; 80 for http and 443 for https are not written.
"""

from typing import Final

from envoy.config.route.v3.route_components_pb2 import RedirectAction

from tulle.view.types import PathMatch, Redirect
from tulle.xds.features.rewrite import new_path

_CODES: Final = {
    301: RedirectAction.MOVED_PERMANENTLY,
    302: RedirectAction.FOUND,
    303: RedirectAction.SEE_OTHER,
    307: RedirectAction.TEMPORARY_REDIRECT,
    308: RedirectAction.PERMANENT_REDIRECT,
}
_PORTS: Final = {"http": 80, "https": 443}


def redirect(view: Redirect, matched: PathMatch, authority: str) -> RedirectAction:
    """`authority` is the host, and port, that the request names."""
    host, port = _split(authority)
    scheme = view.scheme or "http"
    port = view.port or (_PORTS[scheme] if view.scheme else port)
    action = RedirectAction(
        scheme_redirect=view.scheme or None,
        host_redirect=view.hostname or host,
        port_redirect=0 if port == _PORTS[scheme] else port,
        response_code=_CODES[view.status],
    )
    path = view.path
    if path is None:
        return action
    if path.kind == "full":
        action.path_redirect = path.value or "/"
        return action
    changed = new_path(path, matched)
    if changed.prefix:
        action.prefix_rewrite = changed.prefix
    elif changed.regex is not None:
        action.regex_rewrite.CopyFrom(changed.regex)
    return action


def _split(authority: str) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if colon and port.isascii() and port.isdigit() and "]" not in port:
        return host, int(port)
    return authority, _PORTS["http"]
