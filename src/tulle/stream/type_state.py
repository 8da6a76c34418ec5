"""What one client of one stream has, wants and still has to hear, for one type.

A session holds one of these per type and decides which may speak; this one decides what it says: which resources are
to be sent or removed. How that is written down (delta or state of the world) is the session's affair.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from tulle.stream.protocol import (
    ABSENT,
    PENDING,
    WILDCARD,
    Absent,
    Acked,
    Event,
    Limits,
    Nacked,
    Oversized,
    Pending,
    ProtocolError,
    Source,
    Subscribed,
    Unsubscribed,
    culprit,
)
from tulle.xds.resource import Resource

# What keeping a name costs beside its text: a string's head, and a place in each set and map that it may be in.
_NAME_COST = 256


class Batch(Struct, frozen=True):
    """The content of one response."""

    upserts: tuple[Resource, ...]
    removed: tuple[str, ...]
    versions: Mapping[str, str | None]


class _Flight(Struct, frozen=True):
    nonce: str
    versions: Mapping[str, str | None]
    has_upserts: bool


class TypeState:
    """Subscriptions and versions of one type on one stream.

    A version of None in what the client holds means that it was told there is no such resource. `name_bytes` is about
    what the names take in memory.
    """

    def __init__(
        self,
        type_url: str,
        limits: Limits,
        *,
        defer_removals: bool,
        splits: bool = True,
        held: Mapping[str, str] | None = None,
    ) -> None:
        self.type_url = type_url
        self.explicit: set[str] = set()
        self.wildcard = False
        self.held: dict[str, str | None] = dict(held or {})
        self.leaving: set[str] = set()
        self.oversized: list[Oversized] = []
        self.name_bytes = sum(_NAME_COST + len(name) + len(version) for name, version in (held or {}).items())
        self._limits = limits
        self._defer_removals = defer_removals
        self._splits = splits
        self._roots: frozenset[str] = frozenset()
        self._roots_stale = False
        self._roots_known = False
        self._answer_owed = False
        self._started = False
        self._dirty: set[str] = set()
        self._forced: set[str] = set()
        # Names whose version at the client is unknown, because it refused a response that it may have taken in part.
        self._uncertain: set[str] = set()
        self._rejected: dict[str, str | None] = {}
        self._retries: deque[tuple[str, ...]] = deque()
        self._flight: _Flight | None = None

    # What the client says

    def subscribe(self, names: Iterable[str], unsubscribe: Iterable[str]) -> list[Event]:
        """Applies one request's change of subscription; names in both are subscribed anew."""
        first, self._started = not self._started, True
        left = self._unsubscribe(unsubscribe)
        wanted = dict.fromkeys(names)
        if first and not wanted:
            wanted = {WILDCARD: None}
        joined = self._subscribe(wanted, keep_held=first)
        if len(self.explicit) > self._limits.subscriptions:
            raise ProtocolError(f"more than {self._limits.subscriptions} subscriptions of {self.type_url}")
        events: list[Event] = []
        if left:
            events.append(Unsubscribed(self.type_url, tuple(left)))
        if joined:
            events.append(Subscribed(self.type_url, tuple(joined)))
        return events

    def _unsubscribe(self, names: Iterable[str]) -> list[str]:
        left = []
        for name in names:
            if name == WILDCARD and self.wildcard:
                self._leave_wildcard()
                left.append(name)
            elif name in self.explicit:
                self.explicit.discard(name)
                self.name_bytes -= _NAME_COST + len(name)
                self._forget(name)
                if self.wildcard:
                    self._forced.add(name)
                    self._dirty.add(name)
                left.append(name)
        return left

    def _leave_wildcard(self) -> None:
        self.wildcard, self._answer_owed, self._roots_stale, self._roots_known = False, False, False, False
        for name in (self._roots | self.held.keys() | self._uncertain) - self.explicit:
            self._forget(name)
        self._roots = frozenset()

    def _forget(self, name: str) -> None:
        self.held.pop(name, None)
        self._rejected.pop(name, None)
        for names in (self._dirty, self._forced, self._uncertain, self.leaving):
            names.discard(name)

    def _subscribe(self, names: Iterable[str], *, keep_held: bool) -> list[str]:
        joined = []
        for name in names:
            if name == WILDCARD:
                if self.wildcard:
                    self._forced |= self._roots
                else:
                    joined.append(name)
                self.wildcard, self._answer_owed, self._roots_stale = True, True, True
                continue
            if name not in self.explicit:
                self.explicit.add(name)
                self.name_bytes += _NAME_COST + len(name)
                joined.append(name)
            self._dirty.add(name)
            if not keep_held or name not in self.held:
                self._rejected.pop(name, None)
                self._forced.add(name)
        return joined

    def settle(self, nonce: str, error: str | None) -> list[Event]:
        """Takes the answer to the response in flight; an answer to any other response says nothing new."""
        flight = self._flight
        if flight is None or not nonce or nonce != flight.nonce:
            return []
        self._flight = None
        if error is None:
            self._acknowledge(flight.versions)
            return [Acked(self.type_url, flight.versions)]
        self._refuse(flight.versions, error)
        return [Nacked(self.type_url, flight.versions, error)]

    def absorb(self, batch: Batch) -> None:
        """Takes a batch for acknowledged that the protocol has no words for."""
        self._acknowledge(batch.versions)

    def _acknowledge(self, versions: Mapping[str, str | None]) -> None:
        for name, version in versions.items():
            self._uncertain.discard(name)
            if version is None:
                self._rejected.pop(name, None)
            if self._keeps(name) and (version is not None or name in self.explicit):
                self.held[name] = version
            else:
                self.held.pop(name, None)

    def _keeps(self, name: str) -> bool:
        """Whether the client kept what it was sent: with the wildcard it keeps even what it is not to have any more,
        because it left and joined again while the response was on its way."""
        if not self.wants(name) and self.wildcard:
            self._dirty.add(name)
        return self.wildcard or name in self.explicit

    def _refuse(self, versions: Mapping[str, str | None], error: str) -> None:
        known = [name for name in versions if self._keeps(name)]
        self._uncertain.update(known)
        guilty = culprit(versions)
        if guilty is not None:
            if guilty in known:
                self._rejected[guilty] = versions[guilty]
            groups = [[name for name in known if name != guilty]]
        elif any(name in error for name in known):
            groups = [[name for name in known if name not in error], *([name] for name in known if name in error)]
        else:
            groups = [known[::2], known[1::2]]
        self._retries.extendleft(tuple(group) for group in reversed(groups) if group)

    # What the source says

    def changed(self, name: str) -> None:
        if self.wants(name):
            self._dirty.add(name)

    def roots_changed(self) -> None:
        self._roots_stale = self.wildcard

    def force(self, names: Iterable[str]) -> None:
        """Sends explicitly subscribed names again even if the client has them."""
        again = self.explicit.intersection(names)
        self._forced |= again
        self._dirty |= again

    # What is to be said

    @property
    def is_new(self) -> bool:
        """The client has not yet said what it wants."""
        return not self._started

    @property
    def subscriptions(self) -> frozenset[str]:
        return frozenset(self.explicit | {WILDCARD}) if self.wildcard else frozenset(self.explicit)

    @property
    def in_flight(self) -> bool:
        return self._flight is not None

    @property
    def has_work(self) -> bool:
        """Something may have to be sent, apart from deferred removals."""
        return bool(self._dirty or self._retries or self._roots_stale)

    @property
    def making(self) -> bool:
        """Upserts are on their way or about to be."""
        return self.has_work or (self._flight is not None and self._flight.has_upserts)

    @property
    def settled(self) -> bool:
        """The client has acknowledged everything there was to say."""
        return not (self.in_flight or self.has_work or self.leaving)

    @property
    def refuses(self) -> bool:
        """The client keeps something older than it was sent."""
        return bool(self._rejected)

    def wants(self, name: str) -> bool:
        return name in self.explicit or (self.wildcard and name in self._roots)

    def awaits(self, source: Source) -> bool:
        """Something that the client wants and does not have is still pending."""
        wanted = self.explicit | self._roots if self.wildcard else self.explicit
        return any(name not in self.held and source.get(self.type_url, name) is PENDING for name in wanted)

    def take(self, source: Source) -> Batch | None:
        """The next response, removals left out where they have to wait. Call only while none is in flight."""
        if self._roots_stale:
            self._refresh_roots(source)
        while self._retries:
            if (batch := self._collect(source, self._retries.popleft(), retry=True)).versions:
                return batch
        batch = self._collect(source, sorted(self._dirty), retry=False)
        if not batch.versions and not self._empty_answer_due(source):
            return None
        self._answer_owed = False
        return batch

    def take_removals(self) -> Batch:
        """Removals that had to wait, as many as fit a response."""
        names: list[str] = []
        size = 0
        for name in sorted(self.leaving):
            if not self._fits(size, len(name)):
                break
            size += len(name)
            names.append(name)
        self.leaving.difference_update(names)
        return Batch((), tuple(names), dict.fromkeys(names))

    def sent(self, nonce: str, batch: Batch) -> None:
        self._flight = _Flight(nonce, batch.versions, bool(batch.upserts))

    def _refresh_roots(self, source: Source) -> None:
        self._roots_stale = False
        roots = source.roots(self.type_url)
        if roots is PENDING:
            return
        before, self._roots, self._roots_known = self._roots, frozenset(roots), True
        held = {name for name, version in self.held.items() if version is not None}
        self._dirty |= (self._roots - before) | ((held | self._uncertain) - self._roots - self.explicit)
        if self._answer_owed:
            self._dirty |= self._roots

    def _empty_answer_due(self, source: Source) -> bool:
        """A client that starts with the wildcard is answered even if there is nothing, so that it stops waiting."""
        return self._answer_owed and self._roots_known and not self.awaits(source)

    def _collect(self, source: Source, names: Sequence[str], *, retry: bool) -> Batch:
        """Resolves `names` until the response is full; what does not fit stays to be said."""
        upserts: dict[str, Resource] = {}
        removed: list[str] = []
        versions: dict[str, str | None] = {}
        size = 0
        for position, name in enumerate(names):
            answer = source.get(self.type_url, name) if self.wants(name) else ABSENT
            more = len(name) if isinstance(answer, Absent | Pending) else len(answer.wire)
            if not self._fits(size, more):
                self._dirty.update(names[position:])
                break
            self._dirty.discard(name)
            if answer is PENDING:
                continue
            if answer is ABSENT:
                if self._removal_due(name, retry=retry):
                    size += more
                    removed.append(name)
                    versions[name] = None
                continue
            if not self._upsert_due(name, answer):
                continue
            size += more
            self._forced.discard(name)
            self._rejected.pop(name, None)
            # Two names of one resource: clients refuse a response that repeats it.
            upserts.setdefault(answer.name, answer)
            versions[name] = answer.version
        return Batch(tuple(upserts.values()), tuple(removed), versions)

    def _fits(self, size: int, more: int) -> bool:
        """Whether `more` bytes go into a response of `size`. One that is empty takes anything: what is too large for
        all is found out about elsewhere."""
        return not self._splits or size == 0 or size + more <= self._limits.response_bytes

    def _upsert_due(self, name: str, resource: Resource) -> bool:
        self.leaving.discard(name)
        if self._rejected.get(name) == resource.version:
            self._forced.discard(name)
            return False
        if name not in self._forced and name not in self._uncertain and self.held.get(name) == resource.version:
            return False
        if len(resource.wire) > self._limits.response_bytes:
            self._forced.discard(name)
            self.oversized.append(Oversized(self.type_url, name, resource.version, len(resource.wire)))
            return False
        return True

    def _removal_due(self, name: str, *, retry: bool) -> bool:
        forced = name in self._forced
        self._forced.discard(name)
        if name in self._rejected and self._rejected[name] is None:
            return False
        if name in self._uncertain or self.held.get(name) is not None:
            if self._defer_removals and not retry:
                self.leaving.add(name)
                return False
        elif not forced and (name in self.held or name not in self.explicit):
            return False
        self._rejected.pop(name, None)
        return True
