from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.duration import Duration

LONGEST = 99_999 * 3_600_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1h30m", 5400), ("500ms", 0.5), ("1m1m", 120), ("0s", 0), ("99999h", 359996400)]
)
def test_reads_units(text: str, seconds: float) -> None:
    assert Duration.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.5s", "-1s", "1d", "100000s", "1h1m1s1ms1h", "10s\n", " 10s", "\u0661s"]
)
def test_refuses_other_texts(text: str) -> None:
    with pytest.raises(ValueError):
        Duration.parse(text)


@given(st.integers(0, LONGEST))
def test_text_round_trips(milliseconds: int) -> None:
    duration = Duration(milliseconds=milliseconds)
    assert Duration.parse(str(duration)) == duration


@given(st.from_regex(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}", fullmatch=True))
def test_canonical_text_means_the_same(text: str) -> None:
    duration = Duration.parse(text)
    if duration <= timedelta(milliseconds=LONGEST):
        assert Duration.parse(str(duration)) == duration


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert Duration.parse(text) >= timedelta(0)
