"""Percentiles, intervals and ratios."""

import pytest
from benchmarks.statistics import estimate, median, percentile, ratios
from hypothesis import given
from hypothesis import strategies as st

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def test_percentiles_lie_between_closest_ranks() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([1, 2, 3, 4], 0.5) == 2.5
    assert percentile([10, 20], 0.9) == pytest.approx(19)
    assert percentile([7], 0.99) == 7


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        median([])


@given(values, st.floats(0, 1))
def test_a_percentile_is_within_the_values(some: list[float], share: float) -> None:
    assert min(some) <= percentile(some, share) <= max(some)


@given(values)
def test_percentiles_grow_with_the_share(some: list[float]) -> None:
    assert percentile(some, 0.1) <= percentile(some, 0.5) <= percentile(some, 0.9)


def test_an_estimate_says_the_same_again_and_holds_the_median() -> None:
    some = [0.6, 0.7, 0.65, 0.9, 0.62]
    first = estimate(some)
    assert first == estimate(some)
    assert first.low <= first.value <= first.high
    assert first.value == 0.65


def test_equal_values_leave_no_doubt() -> None:
    certain = estimate([2.0] * 5)
    assert (certain.low, certain.value, certain.high) == (2.0, 2.0, 2.0)


def test_ratios_are_taken_within_rounds() -> None:
    assert ratios({1: 10.0, 0: 6.0}, {0: 3.0, 1: 20.0}) == [2.0, 0.5]


def test_a_round_that_one_arm_lacks_is_no_ratio() -> None:
    assert ratios({0: 1.0, 1: 1.0}, {1: 4.0}) == [0.25]
