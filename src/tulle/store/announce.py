"""Wakes watchers: those who read up to the newest write wait here for the next one.

Watchers read at their own pace from what the store keeps, so a slow one costs no queue and misses nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from tulle.store.protocol import Event, Unavailable

ReadAfter = Callable[[int], Awaitable[Sequence[tuple[Event, ...]]]]


class Announcer:
    """Used from one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._closed = False

    def announce(self) -> None:
        """There is something new to read."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """Ends every watch with Unavailable."""
        self._closed = True
        self.announce()

    async def follow(self, since: int, read_after: ReadAfter) -> AsyncIterator[tuple[Event, ...]]:
        """Writes after revision `since`, for ever. `read_after` gives writes, oldest first, or raises Compacted."""
        while not self._closed:
            changed = self._changed  # taken before reading, so that a write during the read is not slept through
            writes = await read_after(since)
            for events in writes:
                since = events[0].revision
                yield events
            if not writes:
                await changed.wait()
        raise Unavailable("the store is closed")
