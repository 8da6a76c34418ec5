"""Deals requests out to backends by weight.

Source: Gateway API, HTTPBackendRef: weights are proportions; the share of a reference that leads nowhere fails.
"""

from collections.abc import Sequence
from math import gcd

from envoy.config.route.v3.route_components_pb2 import RouteAction, WeightedCluster
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.wrappers_pb2 import UInt32Value

from tulle.view.types import Backend
from tulle.xds.features.header_modifier import headers_to_add, headers_to_remove
from tulle.xds.names import name_of

_MILLION = 1_000_000


def valid(backends: Sequence[Backend]) -> tuple[Backend, ...]:
    """Those that can get requests."""
    return tuple(b for b in backends if b.cluster is not None and b.weight)


def invalid_share(backends: Sequence[Backend]) -> FractionalPercent | None:
    """The share of requests that is to be answered with an error, or None where there is no such share."""
    lost = sum(b.weight for b in backends if b.cluster is None)
    total = sum(b.weight for b in backends)
    if not lost:
        return None
    return FractionalPercent(numerator=_MILLION * lost // total, denominator=FractionalPercent.MILLION)


def have_headers(backends: Sequence[Backend]) -> bool:
    return any(b != Backend(b.cluster, b.weight) for b in backends)


def set_clusters(action: RouteAction, backends: Sequence[Backend]) -> None:
    """Of `valid` backends. One alone needs no weighing, unless it has headers of its own."""
    if len(backends) == 1 and not have_headers(backends):
        action.cluster = _cluster(backends[0])
        return
    # Smallest numbers that say the same: Envoy draws one random number for this and for `invalid_share`.
    unit = gcd(*(b.weight for b in backends))
    action.weighted_clusters.clusters.extend(_weighted(b, b.weight // unit) for b in backends)


def _weighted(backend: Backend, weight: int) -> WeightedCluster.ClusterWeight:
    return WeightedCluster.ClusterWeight(
        name=_cluster(backend),
        weight=UInt32Value(value=weight),
        request_headers_to_add=headers_to_add(backend.request_headers),
        request_headers_to_remove=headers_to_remove(backend.request_headers),
        response_headers_to_add=headers_to_add(backend.response_headers),
        response_headers_to_remove=headers_to_remove(backend.response_headers),
    )


def _cluster(backend: Backend) -> str:
    if backend.cluster is None:
        raise ValueError("a reference that leads nowhere has no cluster")
    return name_of(backend.cluster)[1]
