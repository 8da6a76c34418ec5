"""Answers for what a proxy does not know yet while the control plane is away, so that requests fail fast and clearly.

Only what somebody's request is waiting for is answered; everything else stays pending until the control plane is back.
"""

from tulle.model.keys import VirtualHostKey
from tulle.stream.protocol import ABSENT, PENDING, Absent, Pending
from tulle.view.types import DirectResponse, PathMatch, RouteMatch, RouteView, VirtualHostView
from tulle.xds.names import key_of
from tulle.xds.resource import Resource, nothing
from tulle.xds.translate import translate
from tulle.xds.type_urls import CLUSTER, VIRTUAL_HOST

_BODY = (
    "tulle: the control plane is away and this node has not called {authority} before, "
    "so where it is cannot be known now. Calls to services that were called before go on.\n"
)


def answer(type_url: str, name: str) -> Resource | Absent | Pending:
    """An unknown authority is answered with 503, an unknown cluster fails at once."""
    if type_url == VIRTUAL_HOST:
        return _unavailable(name)
    # Envoy goes on with a request as soon as it hears that an on-demand cluster does not exist. When the control plane
    # is back the cluster is sent: Envoy stays subscribed.
    return ABSENT if type_url == CLUSTER else PENDING


def _unavailable(name: str) -> Resource:
    key = key_of(VIRTUAL_HOST, name)
    if not isinstance(key, VirtualHostKey):
        return nothing(VIRTUAL_HOST, name, (name,))
    everything = RouteMatch(PathMatch("prefix", "/"))
    response = DirectResponse(503, _BODY.format(authority=key.authority))
    route = RouteView("control-plane-away", everything, response)
    return translate(VirtualHostView(key.client_namespace, key.authority, (route,)))
