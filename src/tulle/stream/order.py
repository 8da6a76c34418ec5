"""Says which types wait for which, so that at no moment a proxy refers to something it does not have.

Source: Envoy's xDS protocol documentation, "Eventual consistency considerations" (make before break).
"""

from collections.abc import Mapping
from typing import Final

from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, SECRET, SEND_ORDER, VIRTUAL_HOST

# Upserts of the type on the left wait until clusters are acknowledged: Envoy acknowledges clusters once they are warm,
# and routes are not warmed. Endpoints and secrets must not wait, they are what a cluster warms with.
UPSERTS_WAIT_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    LISTENER: (CLUSTER,),
    ROUTE_CONFIG: (CLUSTER,),
    VIRTUAL_HOST: (CLUSTER,),
}

# What may refer to the type on the left: it is removed only after these have been acknowledged. A type that nothing
# refers to removes in the response that brings its upserts, so that a domain or an address can move between two.
REFERRERS: Final[Mapping[str, tuple[str, ...]]] = {
    ROUTE_CONFIG: (LISTENER,),
    CLUSTER: (LISTENER, ROUTE_CONFIG, VIRTUAL_HOST),
    ENDPOINTS: (CLUSTER,),
    SECRET: (LISTENER, CLUSTER),
}

_RANK: Final = {type_url: rank for rank, type_url in enumerate(SEND_ORDER)}


def rank(type_url: str) -> tuple[int, str]:
    """Sorts types into the order in which their upserts are sent; types that Tulle does not know come last."""
    return _RANK.get(type_url, len(_RANK)), type_url
