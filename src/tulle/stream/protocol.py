"""The words a stream is spoken in: where resources come from, what a client did, what it may not do.

Sessions know neither the compiler nor the relay's cache: both are a `Source`, and both hear the same events.
"""

from collections.abc import Mapping
from enum import Enum
from itertools import islice
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from tulle.xds.resource import Resource

WILDCARD: Final = "*"
_SHOWN: Final = 5


class Absent(Enum):
    """There is no such resource, for certain."""

    ABSENT = "absent"


class Pending(Enum):
    """Not known yet: the source says `changed` as soon as it is."""

    PENDING = "pending"


ABSENT: Final = Absent.ABSENT
PENDING: Final = Pending.PENDING


class Source(Protocol):
    """What one client may see. Answers from memory; the session asks while it builds a response."""

    def get(self, type_url: str, name: str) -> Resource | Absent | Pending:
        """The resource that the client calls `name`."""
        ...

    def roots(self, type_url: str) -> tuple[str, ...] | Pending:
        """The names that the wildcard stands for. Where a client starts a type without naming anything, too."""
        ...


class Subscribed(Struct, frozen=True):
    """The client newly wants `names`; `*` is the wildcard. Names it had already are not repeated."""

    type_url: str
    names: tuple[str, ...]


class Unsubscribed(Struct, frozen=True):
    """The client no longer wants `names`; `*` is the wildcard."""

    type_url: str
    names: tuple[str, ...]


class Acked(Struct, frozen=True):
    """The client took `versions` (name to version; None: it took the removal)."""

    type_url: str
    versions: Mapping[str, str | None]


class Nacked(Struct, frozen=True):
    """The client refused a response that carried `versions`, for the reason in `message` (the client's words)."""

    type_url: str
    versions: Mapping[str, str | None]
    message: str

    @property
    def culprit(self) -> str | None:
        """The resource at fault, where the response carried only one. Others are sent again until it is found."""
        return culprit(self.versions)

    @property
    def subject(self) -> str:
        """The names of the resources, for people to read; of many the first ones."""
        shown = ", ".join(islice(self.versions, _SHOWN))
        others = len(self.versions) - _SHOWN
        return f"{shown} and {others} others" if others > 0 else shown


def culprit(versions: Mapping[str, str | None]) -> str | None:
    """The name that made a client refuse a response of `versions`: the only one, removals left aside."""
    if len(versions) == 1:
        return next(iter(versions))
    upserts = [name for name, version in versions.items() if version is not None]
    return upserts[0] if len(upserts) == 1 else None


class Oversized(Struct, frozen=True):
    """A resource was kept back because it alone is larger (`size`, bytes) than a response may be."""

    type_url: str
    name: str
    version: str
    size: int


Event: TypeAlias = Subscribed | Unsubscribed | Acked | Nacked | Oversized


class Limits(Struct, frozen=True):
    """What one client may ask of one stream, and how large an answer may be (bytes).

    `subscriptions` are those of one type, and no list in a request is longer: a client that comes back says all that it
    wants at once. `name_bytes` is what the names of all types may take in memory, those that a client brings with their
    versions included. Of what a client says of a response that it refuses, `message_length` characters are read.
    `streams` is how many one peer may have at a time.
    """

    types: int = 32
    subscriptions: int = 100_000
    name_length: int = 2_048
    name_bytes: int = 128 * 2**20
    message_length: int = 8_192
    response_bytes: int = 3_500_000
    streams: int = 2_000


class ProtocolError(Exception):
    """The client broke the protocol: its stream ends with INVALID_ARGUMENT and this message."""
