"""Label selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.api.selector import Selector, parse_selector
from tulle.model.problem import Problem

LABELS = {"app": "web", "tier": "front", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("nothing!=web", True),
        ("nothing=web", False),
        ("empty=", True),
        ("app=", False),
        ("app", True),
        ("nothing", False),
        ("!nothing", True),
        ("!app", False),
        ("app in (web,db)", True),
        ("app in ( db , web )", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("app notin (web)", False),
        ("nothing notin (web)", True),
        ("app in (web,db),tier=front,!old", True),
        ("tier=front,app in (db,cache)", False),
        ("tulle.dev/mode!=node", True),
    ],
)
def test_matches(text: str, expected: bool) -> None:
    selector = parse_selector(text)
    assert isinstance(selector, Selector)
    assert selector.matches(LABELS) is expected


@pytest.mark.parametrize("text", ["a b", ",", "a=b,", "a in b", "a in (b", "=b", "!=b", "a in (b) c", "!", "a=b c"])
def test_refused(text: str) -> None:
    assert isinstance(parse_selector(text), Problem)


@given(st.text(alphabet="ab=!(), inot/", max_size=30))
def test_any_text_is_a_selector_or_a_problem(text: str) -> None:
    result = parse_selector(text)
    assert isinstance(result, Problem) or result.matches(LABELS) in (True, False)
