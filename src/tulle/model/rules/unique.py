"""Rules for lists whose entries must differ."""

from collections.abc import Hashable, Iterable, Iterator

from tulle.model.problem import Problem
from tulle.model.tree import below


def repeated(values: Iterable[Hashable], at: str, field: str = "") -> Iterator[Problem]:
    """A problem for each value that an earlier entry of the list at `at` has; `field` is where entries hold it.
    "" and None are absent values and may repeat."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if value in ("", None):
            continue
        if value in first:
            entry = below(at, index)
            path = below(entry, field) if field else entry
            yield Problem(path, f"`{value}` is there already, at {below(at, first[value])}", "keep one")
        first.setdefault(value, index)
