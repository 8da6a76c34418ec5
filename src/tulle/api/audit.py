"""The audit log: one line of JSON for every write and every write that was refused."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from tulle.model.names import ObjectRef

WriteLine: TypeAlias = Callable[[str], None]

_NOTES = "tulle.audit"


class AuditEntry(Struct, frozen=True, rename="camel"):
    """`time` is Unix seconds, `caller` how the caller proved itself (`socket`, `token`, or `nobody`). `objects` are
    the objects that were written or would have been, `revision` that of the write, 0 where nothing was written."""

    time: float
    caller: str
    method: str
    path: str
    query: str
    status: int
    objects: tuple[str, ...]
    revision: int
    reason: str


class Notes(Struct):
    """What is learnt about a request while it is handled, for its entry; the one value here that changes."""

    objects: tuple[str, ...] = ()
    revision: int = 0
    reason: str = ""

    def name(self, refs: Sequence[ObjectRef]) -> None:
        """These are the objects that the request is about."""
        self.objects = tuple(map(str, refs))


def audit_line(entry: AuditEntry) -> str:
    """The entry as JSON without a line break."""
    return msgspec.json.encode(entry).decode()


def notes(scope: MutableMapping[str, Any]) -> Notes:
    """The notes of the request with this ASGI scope."""
    found = scope.setdefault(_NOTES, Notes())
    assert isinstance(found, Notes)
    return found
