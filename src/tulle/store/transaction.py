"""Decides what a write does before anything is written.

Pure, so that every store refuses the same writes and skips the same ones.
"""

from collections.abc import Callable, Sequence

import msgspec

from tulle.model.names import ObjectRef
from tulle.store.protocol import Conflict, Delete, Event, NotFound, Put, Stored

_OBJECT = msgspec.json.Decoder(dict[str, object])
_NOT_DECLARED = frozenset({"metadata", "status"})


def plan(
    changes: Sequence[Put | Delete], current: Callable[[ObjectRef], Stored | None], revision: int, now: float
) -> tuple[Event, ...]:
    """The events of writing `changes` as `revision` at `now` (Unix seconds), in their order.

    Raises Conflict or NotFound for the first change that cannot be made, ValueError if two are of one object.
    """
    refs = [change.ref for change in changes]
    if len(set(refs)) < len(refs):
        raise ValueError("a write names each object once")
    events = (_event(change, current(change.ref), revision, now) for change in changes)
    return tuple(event for event in events if event is not None)


def _event(change: Put | Delete, stored: Stored | None, revision: int, now: float) -> Event | None:
    actual = stored.revision if stored else 0
    if isinstance(change, Delete) and stored is None:
        raise NotFound(change.ref)
    if change.expected is not None and change.expected != actual:
        raise Conflict(change.ref, change.expected, actual)
    if isinstance(change, Delete):
        return Event(change.ref, revision, None)
    if stored is not None and stored.body == change.body:
        return None
    created = stored.created if stored else now
    generation = _generation(stored, change.body)
    return Event(change.ref, revision, Stored(change.ref, change.body, revision, created, now, generation))


def _generation(stored: Stored | None, body: bytes) -> int:
    """That of `body`, written over what is stored."""
    if stored is None:
        return 1
    return stored.generation + (_declared(stored.body) != _declared(body))


def _declared(body: bytes) -> object:
    """All of an object but what is said of it: its metadata and status. A body that is no object is declared as it
    is."""
    try:
        fields = _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return body
    return {name: value for name, value in fields.items() if name not in _NOT_DECLARED}
