"""Rules for regular expressions in routes."""

from collections.abc import Iterator

from tulle.model.problem import Problem
from tulle.model.rules.re2 import refusal

HINT = "expressions are RE2's and have to match the whole value"


def expression_problems(type_: str, value: str, at: str) -> Iterator[Problem]:
    """The problems of `value` if its type is RegularExpression; `at` is the path of the value."""
    if type_ != "RegularExpression":
        return
    reason = refusal(value) if value else "is empty"
    if reason:
        yield Problem(at, f"the expression {reason}", HINT)
