"""Remembers who read which facts, so that a change finds what rests on it and nothing else."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, TypeVar

from tulle.model.snapshot import Fact

Q = TypeVar("Q")


class Readers(Generic[Q]):
    """Questions by the facts that their answers rest on. Whoever asks keeps the facts of each answer."""

    def __init__(self) -> None:
        self._by_fact: defaultdict[Fact, set[Q]] = defaultdict(set)

    def of(self, facts: Iterable[Fact]) -> set[Q]:
        """The questions whose answers rest on one of `facts`."""
        found: set[Q] = set()
        for fact in facts:
            found |= self._by_fact.get(fact, set())
        return found

    def move(self, question: Q, before: frozenset[Fact], after: frozenset[Fact]) -> None:
        """The question's answer rests on `after` now, and no longer on the rest of `before`."""
        for fact in after - before:
            self._by_fact[fact].add(question)
        for fact in before - after:
            readers = self._by_fact[fact]
            readers.discard(question)
            if not readers:
                del self._by_fact[fact]
