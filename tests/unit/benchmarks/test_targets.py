"""Targets, and how figures are written."""

import pytest
from benchmarks.targets import Target, text


def test_a_target_is_met_at_its_limit() -> None:
    assert Target("x", 0.7, 0.7).verdict == "met"
    assert Target("x", 0.71, 0.7).verdict == "missed"


@pytest.mark.parametrize(
    ("value", "written"), [(0.123, "0.12"), (9.87, "9.87"), (12.34, "12.3"), (1234.5, "1,234"), (-0.004, "-0.00")]
)
def test_figures_have_about_three_digits(value: float, written: str) -> None:
    assert text(value) == written


def test_a_unit_follows() -> None:
    assert text(2.5, "MB") == "2.50 MB"
