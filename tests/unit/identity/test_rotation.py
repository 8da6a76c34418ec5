from datetime import UTC, datetime, timedelta

import pytest

from tulle.identity.rotation import backoff, next_rotation

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=20)


@pytest.mark.parametrize(("jitter", "hours"), [(-1, 9), (0, 10), (1, 11)])
def test_renewal_is_due_at_half_of_the_lifetime_give_or_take_a_tenth(jitter: float, hours: int):
    assert next_rotation(START, END, jitter) == START + timedelta(hours=hours)


def test_waits_double_up_to_the_longest():
    waits = [backoff(failures, 0).total_seconds() for failures in (0, 1, 2, 3, 4, 8, 9, 10, 10_000)]
    assert waits == [0.5, 0.5, 1, 2, 4, 64, 128, 150, 150]


@pytest.mark.parametrize("failures", [1, 5, 50])
def test_jitter_spreads_waits_within_the_limits(failures: int):
    assert timedelta(0) < backoff(failures, -1) < backoff(failures, 1) or failures == 50
    assert backoff(failures, 1) <= timedelta(seconds=150)
