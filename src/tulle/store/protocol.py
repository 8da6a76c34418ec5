"""What every store does: objects by reference, one revision per write, optimistic concurrency, history, watch."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from tulle.model.names import ObjectRef


class Stored(Struct, frozen=True, gc=False):
    """An object as stored. `body` is its JSON; `revision` that of the write that made this version (from 1),
    `created` and `updated` are Unix times in seconds. `generation` (from 1) counts the object's changes of anything but
    metadata and status, as Kubernetes does."""

    ref: ObjectRef
    body: bytes
    revision: int
    created: float
    updated: float
    generation: int = 1


class Put(Struct, frozen=True, gc=False):
    """Writes `body`. `expected` is the revision the object must have now: 0 it must not exist, None whatever it has."""

    ref: ObjectRef
    body: bytes
    expected: int | None = None


class Delete(Struct, frozen=True, gc=False):
    """Deletes. `expected` as for Put, but deleting what is not there is NotFound."""

    ref: ObjectRef
    expected: int | None = None


class Event(Struct, frozen=True, gc=False):
    """One change. `stored` None: deleted."""

    ref: ObjectRef
    revision: int
    stored: Stored | None


class Listing(Struct, frozen=True):
    """Objects in order of reference, and the store's revision at which this was true."""

    items: tuple[Stored, ...]
    revision: int


class StoreError(Exception):
    """The tree of what a store raises: Conflict, NotFound, Compacted, Unavailable."""


class Conflict(StoreError):
    """The object is not at the expected revision; nothing was written."""

    def __init__(self, ref: ObjectRef, expected: int, actual: int) -> None:
        super().__init__(f"{ref} is at revision {actual}, not at {expected}")
        self.ref, self.expected, self.actual = ref, expected, actual


class NotFound(StoreError):
    """There is no such object; nothing was written."""

    def __init__(self, ref: ObjectRef) -> None:
        super().__init__(f"{ref} does not exist")
        self.ref = ref


class Compacted(StoreError):
    """The watch would start before the oldest event kept: list again, then watch from there."""


class Unavailable(StoreError):
    """The store cannot be read or written; the message says what to do."""


class Store(Protocol):
    async def get(self, ref: ObjectRef) -> Stored | None: ...

    async def list(self, kind: str = "", namespace: str = "") -> Listing:
        """Objects of a kind and namespace; empty means any."""
        ...

    async def write(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        """Applies all changes in one transaction, or none. Acknowledged means durable. A Put of the same body as
        stored writes nothing and gives no event. All events of one call share one revision."""
        ...

    async def rehearse(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        """What `write` would do and raise now, with revision 0; nothing is written."""
        ...

    def watch(self, since: int) -> AsyncIterator[tuple[Event, ...]]:
        """Events after revision `since`, one tuple per write, without a gap, for ever. Raises Compacted."""
        ...

    async def history(self, ref: ObjectRef, limit: int = 20) -> tuple[Event, ...]:
        """The object's versions, newest first."""
        ...

    async def close(self) -> None: ...
