import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.rules.re2 import refusal

ACCEPTED = [
    "",
    "/items/[0-9]+",
    "a|b|",
    "(?:a)(b)(?P<n>c)(?<m>d)",
    "(?i)abc(?s-i:.)",
    r"\d\D\s\S\w\W\b\B\A\z",
    r"[\d\-a-z]]",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[[:alpha:][:^digit:]_]",
    r"\x41\x{7F}\.\_\/",
    r"\pL\p{Lu}\P{N}\p{^Nd}",
    "a{2}b{2,}c{2,5}?d*?e+?f??",
    "a{,3}",
    "{",
    "x{1000}",
    "^*",
]
REFUSED = {
    "(": "has a '(' without ')'",
    ")": "has a ')' without '('",
    "[a": "has a '[' without ']'",
    "[": "has a '[' without ']'",
    "*a": "has nothing to repeat",
    "(|*)": "has nothing to repeat",
    "{2}a": "has nothing to repeat",
    "(?i)*": "has nothing to repeat",
    "a**": "repeats a repetition",
    "a{2}{3}": "repeats a repetition",
    "a{1001}": "has the repetition {1001}",
    "a{3,2}": "has the repetition {3,2}",
    "(?:a{100}){100}": "repeats something more than 1000 times",
    "(?:abc[a-z]{30}){30}": "repeats too much",
    "(?=a)": "RE2 knows no look-around",
    "(?!a)": "RE2 knows no look-around",
    "(?<=a)": "RE2 knows no look-around",
    "(?>a)": "RE2 knows no look-around",
    "(?P=n)": "RE2 knows no look-around",
    r"(a)\1": "refers back to group",
    "(?P<a>b)(?P<a>c)": "names two groups a",
    r"\Z": r"has \Z",
    r"\Q": r"has \Q",
    "a\\": "ends with",
    "[a\\": "ends with",
    r"\x{100}": "is no byte",
    r"\pX": "unknown class",
    r"\p{L": "unknown class",
    "[[:nothing:]]": "unknown class",
    "[z-a]": "ends are not in order",
    r"[a-\d]": "ends are not in order",
    "é": "outside ASCII",
    "a" * 1025: "more than 1024 characters",
    "(" * 60 + ")" * 60: "inside each other",
}


@pytest.mark.parametrize("expression", ACCEPTED)
def test_accepts(expression: str) -> None:
    assert refusal(expression) == ""


@pytest.mark.parametrize(("expression", "reason"), REFUSED.items())
def test_refuses(expression: str, reason: str) -> None:
    assert reason in refusal(expression)


@given(st.text(alphabet=r"ab()[]{}|*+?\^$.,-:=!<>Pidwx120"))
def test_never_raises(expression: str) -> None:
    refusal(expression)
