"""Writes checked resources, all or none, and says what became of each; or says what would have."""

from collections.abc import Mapping, Sequence

from fastapi import Request
from msgspec import Struct

from tulle.api.audit import notes
from tulle.api.messages import Outcome
from tulle.api.objects import Checked
from tulle.model.names import ObjectRef
from tulle.store.protocol import Conflict, Store, Stored

_ATTEMPTS = 5


class Written(Struct, frozen=True):
    """An object as it is after the write, or as it would be: then it has revision 0 if it would be written."""

    stored: Stored
    outcome: Outcome


async def write(request: Request, store: Store, items: Sequence[Checked], dry_run: bool) -> tuple[Written, ...]:
    """Writes `items`, of different objects, in one transaction.

    Raises Conflict for what is not at the revision that its sender expects, Unavailable.
    """
    notes(request.scope).name([item.ref for item in items])
    for attempt in range(1, _ATTEMPTS + 1):
        before = await _stored(store, items)
        # Each is written only if it is as it was read, so that what is said of it afterwards is true.
        puts = [item.put(_expected(item, before)) for item in items]
        try:
            events = await (store.rehearse(puts) if dry_run else store.write(puts))
        except Conflict as conflict:
            if _asked_for(conflict, items) or attempt == _ATTEMPTS:
                raise
            continue
        notes(request.scope).revision = events[0].revision if events else 0
        after = {**before, **{event.ref: event.stored for event in events if event.stored}}
        return tuple(Written(after[item.ref], _outcome(item.ref, before, after)) for item in items)
    raise AssertionError("the last attempt returns or raises")


async def _stored(store: Store, items: Sequence[Checked]) -> Mapping[ObjectRef, Stored]:
    found = [await store.get(item.ref) for item in items]
    return {stored.ref: stored for stored in found if stored}


def _expected(item: Checked, before: Mapping[ObjectRef, Stored]) -> int:
    if item.expected is not None:
        return item.expected
    return before[item.ref].revision if item.ref in before else 0


def _asked_for(conflict: Conflict, items: Sequence[Checked]) -> bool:
    """Whether the sender expected the revision, and not only this module."""
    return any(item.ref == conflict.ref and item.expected is not None for item in items)


def _outcome(ref: ObjectRef, before: Mapping[ObjectRef, Stored], after: Mapping[ObjectRef, Stored]) -> Outcome:
    if ref not in before:
        return "created"
    return "unchanged" if before[ref] == after[ref] else "configured"
