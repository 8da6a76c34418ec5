"""Weights are proportions; invalid references keep their share."""

from hypothesis import given
from hypothesis import strategies as st

from tulle.model.keys import ClusterKey
from tulle.model.names import ServiceName, ServicePort
from tulle.view.types import Backend
from tulle.xds.features.weights import invalid_share, valid

CLUSTER = ClusterKey(ServicePort(ServiceName("shop", "catalog"), 80))
backends = st.lists(st.builds(Backend, st.sampled_from([CLUSTER, None]), st.integers(0, 1_000_000)), min_size=1)


@given(backends)
def test_the_invalid_share_is_their_part_of_all_weights(given: list[Backend]) -> None:
    share = invalid_share(given)
    lost, total = sum(b.weight for b in given if b.cluster is None), sum(b.weight for b in given)
    assert (share is None) == (lost == 0)
    if share is not None:
        assert abs(share.numerator / 1_000_000 - lost / total) <= 1e-6


@given(backends)
def test_only_valid_backends_with_a_weight_get_requests(given: list[Backend]) -> None:
    assert all(b.cluster and b.weight for b in valid(given))
