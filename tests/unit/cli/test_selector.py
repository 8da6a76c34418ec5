"""Selectors select what kubectl's would."""

import pytest

from tulle.cli.errors import Failure
from tulle.cli.selector import parse_selector, selects


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , version!=v2", True),
        ("app=web,version=v2", False),
        ("app!=web", False),
        ("other!=web", True),
        ("version", True),
        ("!version", False),
        ("!other", True),
        ("app=", False),
    ],
)
def test_conditions(text: str, selected: bool) -> None:
    assert selects(parse_selector(text), {"app": "web", "version": "v1"}) is selected


@pytest.mark.parametrize("text", [",", "=web", "a=b=c", "app in (web)", "!"])
def test_nonsense_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(Failure) as refused:
        parse_selector(text)
    assert "key=value" in refused.value.hint
