"""Tells watches which statuses may be others than those that they have shown.

A status rests on facts of the snapshot and on what proxies say, and is kept with these facts as long as somebody
watches: a change costs what it touches. Nobody is told at once. What happens within a moment is told together, so that
a thousand proxies that refuse one thing make a few events and not a thousand.
"""

import asyncio
from collections.abc import Callable, Iterable

from tulle.api import Status
from tulle.control.readers import Readers
from tulle.control.status import Answer, Statuses, complete
from tulle.model.names import ObjectRef
from tulle.model.snapshot import Fact

MOMENT = 0.1
"""Seconds."""


class StatusWatches:
    """All watches of `statuses`. `moment` in seconds: what happens within it is told together."""

    def __init__(self, statuses: Statuses, moment: float = MOMENT) -> None:
        self._statuses = statuses
        self._moment = moment
        self._watches: set[Watch] = set()
        self._answers: dict[ObjectRef, Answer] = {}
        self._readers: Readers[ObjectRef] = Readers()
        self._blame = statuses.blame()
        statuses.listen(self._wake)

    def open(self) -> "Watch":
        watch = Watch(self.of, self.settle, self._closed, self._moment)
        self._watches.add(watch)
        return watch

    def published(self, facts: Iterable[Fact]) -> None:
        """The snapshot is another, which differs in `facts`."""
        stale = self._readers.of(facts)
        for ref in stale:
            self._readers.move(ref, self._answers.pop(ref).facts, frozenset())
        self._tell(stale)

    def of(self, ref: ObjectRef) -> Status:
        self.settle()
        answer = self._answers.get(ref)
        if answer is None:
            answer = self._answers[ref] = self._statuses.answer(ref)
            self._readers.move(ref, frozenset(), answer.facts)
        return complete(answer, self._blame.get(ref))

    def settle(self) -> None:
        """Tells of everything that proxies are now said to be in want of, or no longer."""
        before, self._blame = self._blame, self._statuses.blame()
        if before is not self._blame:
            self._tell(ref for ref in before.keys() | self._blame.keys() if before.get(ref) != self._blame.get(ref))

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()

    def _tell(self, refs: Iterable[ObjectRef]) -> None:
        stale = frozenset(refs)
        for watch in self._watches if stale else ():
            watch.tell(stale)

    def _closed(self, watch: "Watch") -> None:
        self._watches.discard(watch)
        if not self._watches:
            self._answers.clear()
            self._readers = Readers()


class Watch:
    """Implements `tulle.api.StatusWatch`."""

    def __init__(
        self,
        of: Callable[[ObjectRef], Status],
        settle: Callable[[], None],
        closed: Callable[["Watch"], None],
        moment: float,
    ) -> None:
        self._of, self._settle, self._closed, self._moment = of, settle, closed, moment
        self._asked: set[ObjectRef] = set()
        self._stale: set[ObjectRef] = set()
        self._woken = asyncio.Event()

    def of(self, ref: ObjectRef) -> Status:
        self._asked.add(ref)
        return self._of(ref)

    async def changed(self) -> frozenset[ObjectRef]:
        while True:
            await self._woken.wait()
            await asyncio.sleep(self._moment)
            self._settle()
            self._woken.clear()
            stale, self._stale = self._stale, set()
            if stale:
                return frozenset(stale)

    def wake(self) -> None:
        """Something may have changed; `settle` finds out what."""
        self._woken.set()

    def tell(self, refs: frozenset[ObjectRef]) -> None:
        """These may be others."""
        concerned = refs & self._asked
        self._asked -= concerned
        self._stale |= concerned
        if concerned:
            self._woken.set()

    def close(self) -> None:
        self._closed(self)
