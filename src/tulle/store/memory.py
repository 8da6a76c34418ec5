"""A store in memory: for tests, and for a mesh that may forget everything when its process ends."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from tulle.model.names import ObjectRef
from tulle.store.announce import Announcer
from tulle.store.limits import Limits
from tulle.store.protocol import Compacted, Delete, Event, Listing, Put, Stored
from tulle.store.transaction import plan


class MemoryStore:
    """Nothing here awaits between reading and writing, so each call is one step of the event loop."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._revision = 0
        self._objects: dict[ObjectRef, Stored] = {}
        self._history: dict[ObjectRef, deque[Event]] = {}
        self._log: deque[tuple[Event, ...]] = deque()
        self._logged = 0  # events in the log
        self._compacted = 0  # the newest revision that is no longer in the log
        self._announcer = Announcer()

    async def get(self, ref: ObjectRef) -> Stored | None:
        return self._objects.get(ref)

    async def list(self, kind: str = "", namespace: str = "") -> Listing:
        items = (
            stored
            for ref, stored in self._objects.items()
            if kind in ("", ref.kind) and namespace in ("", ref.namespace)
        )
        return Listing(tuple(sorted(items, key=lambda stored: stored.ref)), self._revision)

    async def write(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        events = plan(changes, self._objects.get, self._revision + 1, self._clock())
        if events:
            self._revision += 1
            for event in events:
                self._apply(event)
            self._log.append(events)
            self._logged += len(events)
            self._compact()
            self._announcer.announce()
        return events

    async def rehearse(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        return plan(changes, self._objects.get, 0, self._clock())

    def watch(self, since: int) -> AsyncIterator[tuple[Event, ...]]:
        return self._announcer.follow(since, self._read_after)

    async def history(self, ref: ObjectRef, limit: int = 20) -> tuple[Event, ...]:
        return tuple(reversed(self._history.get(ref, ())))[:limit]

    async def close(self) -> None:
        self._announcer.close()

    def _apply(self, event: Event) -> None:
        if event.stored is None:
            del self._objects[event.ref]
        else:
            self._objects[event.ref] = event.stored
        self._history.setdefault(event.ref, deque(maxlen=self._limits.versions)).append(event)

    def _compact(self) -> None:
        while self._logged - len(self._log[0]) >= self._limits.events:
            events = self._log.popleft()
            self._logged -= len(events)
            self._compacted = events[0].revision
            for event in events:
                if event.stored is None and self._history[event.ref][-1] is event:
                    del self._history[event.ref]

    async def _read_after(self, since: int) -> Sequence[tuple[Event, ...]]:
        if not self._compacted <= since <= self._revision:
            raise Compacted(f"revision {since} is outside of what is kept, {self._compacted} to {self._revision}")
        newer: list[tuple[Event, ...]] = []
        for events in reversed(self._log):
            if events[0].revision <= since:
                break
            newer.append(events)
        newer.reverse()
        return newer
