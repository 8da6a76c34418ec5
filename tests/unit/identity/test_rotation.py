from datetime import UTC, datetime, timedelta

import pytest

from tulle.identity.rotation import backoff, is_late, life_used, next_rotation, warning_level

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=20)


@pytest.mark.parametrize(("jitter", "hours"), [(-1, 9), (0, 10), (1, 11)])
def test_renewal_is_due_at_half_of_the_lifetime_give_or_take_a_tenth(jitter: float, hours: int):
    assert next_rotation(START, END, jitter) == START + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("hours", "level", "used"),
    [(-1, 0, 0), (9.9, 0, 49), (10, 50, 50), (14.9, 50, 74), (15, 75, 75), (18, 90, 90), (20, 90, 100), (99, 90, 100)],
)
def test_warnings_come_at_half_three_quarters_and_nine_tenths(hours: float, level: int, used: int):
    now = START + timedelta(hours=hours)
    assert warning_level(START, END, now) == level
    assert life_used(START, END, now) == used


def test_it_is_late_when_no_jitter_explains_it():
    latest = next_rotation(START, END, 1)
    assert not is_late(START, END, latest)
    assert is_late(START, END, latest + timedelta(seconds=1))


def test_waits_double_up_to_the_longest():
    waits = [backoff(failures, 0).total_seconds() for failures in (0, 1, 2, 3, 4, 8, 9, 10, 10_000)]
    assert waits == [0.5, 0.5, 1, 2, 4, 64, 128, 150, 150]


@pytest.mark.parametrize("failures", [1, 5, 50])
def test_jitter_spreads_waits_within_the_limits(failures: int):
    assert timedelta(0) < backoff(failures, -1) < backoff(failures, 1) or failures == 50
    assert backoff(failures, 1) <= timedelta(seconds=150)
