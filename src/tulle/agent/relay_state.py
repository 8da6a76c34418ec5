"""Decides what a proxy is told and what the control plane is told, without I/O.

The proxy's stream and the control plane's are two conversations with a memory between them: each may end and start
again at any time, and what the proxy is served never depends on the other being there. Feed it what happened and
carry out the outputs. A relay for nobody but the agent itself is the same thing without a proxy: what arrives is kept
as it is.

Source: Envoy's xDS protocol documentation, "Incremental xDS".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from tulle.agent.cache import CacheContents
from tulle.agent.relay_type import Flight, RelayType
from tulle.stream.client import Update
from tulle.stream.protocol import (
    ABSENT,
    PENDING,
    WILDCARD,
    Absent,
    Acked,
    Event,
    Nacked,
    Oversized,
    Pending,
    Subscribed,
    Unsubscribed,
)
from tulle.xds.resource import Resource


class Subscribe(Struct, frozen=True):
    """The control plane is to be asked for `names` (`*`: the wildcard) from now on, and on every later stream; once
    more, where it was asked before."""

    type_url: str
    names: tuple[str, ...]


class Unsubscribe(Struct, frozen=True):
    """The control plane need not send `names` any more."""

    type_url: str
    names: tuple[str, ...]


class Answer(Struct, frozen=True):
    """A response of the control plane is acknowledged, or refused because of `error`."""

    update: Update
    error: str | None


class Changed(Struct, frozen=True):
    """The proxy's session may answer differently about these names."""

    type_url: str
    names: tuple[str, ...]
    roots: bool = False


class Save(Struct, frozen=True):
    """The contents to keep on disk have changed."""


Output: TypeAlias = Subscribe | Unsubscribe | Answer | Changed | Save


Fallback: TypeAlias = Callable[[str, str], Resource | Absent | Pending]
"""What to say of a resource (type URL, name) that is not known while the control plane is away."""


def wait(type_url: str, name: str) -> Pending:
    """The fallback that has nothing to say."""
    return PENDING


class RelayState:
    """The memory between one proxy and the control plane; a `Source` for the proxy's session."""

    def __init__(self, contents: CacheContents, fallback: Fallback = wait) -> None:
        self._fallback = fallback
        self._types: dict[str, RelayType] = {}
        self._proxy = False
        self._away = False
        for type_url in sorted({*contents.good, *contents.unproven, *contents.roots}):
            self._type(type_url).load(
                contents.good.get(type_url, {}), contents.unproven.get(type_url, {}), contents.roots.get(type_url)
            )

    # What the proxy's session asks

    def get(self, type_url: str, name: str) -> Resource | Absent | Pending:
        state = self._types.get(type_url)
        if state is not None:
            if name in state.doubtful:
                return PENDING
            if (newest := state.newest(name)) is not None:
                return newest
            if name in state.absent:
                return ABSENT
            if name in state.refused:
                return self._fallback(type_url, name)
        return self._fallback(type_url, name) if self._away else PENDING

    def roots(self, type_url: str) -> tuple[str, ...] | Pending:
        state = self._types.get(type_url)
        if state is None or state.roots is None:
            return PENDING
        known = {name for name in state.roots if state.newest(name) is not None}
        return tuple(sorted(known | (state.doubtful - state.explicit)))

    # What is kept

    def contents(self) -> CacheContents:
        types = self._types.values()
        return CacheContents(
            good={t.type_url: {name: r.wire for name, r in t.good.items()} for t in types if t.good},
            unproven={t.type_url: {name: r.wire for name, r in t.candidates.items()} for t in types if t.candidates},
            roots={t.type_url: tuple(sorted(t.roots)) for t in types if t.roots is not None},
        )

    @property
    def refusals(self) -> tuple[tuple[str, str, str], ...]:
        """(type URL, name, the proxy's words) of everything that the proxy refused and that is still current."""
        return tuple(
            (state.type_url, name, tuple(versions.values())[-1])
            for state in self._types.values()
            for name, versions in sorted(state.refused.items())
        )

    @property
    def asks(self) -> bool:
        """Whether the control plane is asked for anything."""
        return any(state.wildcard or state.explicit for state in self._types.values())

    @property
    def waiting(self) -> tuple[str, ...]:
        """The types of which the control plane is waiting for the proxy's word."""
        return tuple(state.type_url for state in self._types.values() if state.flights)

    # What the control plane does

    def wishes(self) -> list[Output]:
        """All that the control plane has to be asked for, for the start."""
        return [
            Subscribe(state.type_url, (*((WILDCARD,) if state.wildcard else ()), *sorted(state.explicit)))
            for state in self._types.values()
            if state.wildcard or state.explicit
        ]

    def held(self, type_url: str) -> Mapping[str, str]:
        """The versions (by name) that a new stream of the control plane need not send. While a proxy is connected only
        those that it took: its word on newer ones can only be passed on as an answer to a response that has them."""
        state = self._types.get(type_url)
        return state.held_versions(proven_only=self._proxy) if state is not None else {}

    def upstream_lost(self) -> None:
        """Nothing can be answered any more."""
        for state in self._types.values():
            state.flights.clear()

    def set_away(self, away: bool) -> list[Output]:
        """Whether the control plane is given up for now: what is not known gets its fallback until it is back."""
        if away == self._away:
            return []
        self._away = away
        return [
            Changed(state.type_url, tuple(sorted(state.missing))) for state in self._types.values() if state.missing
        ]

    def received(self, update: Update) -> list[Output]:
        state = self._type(update.type_url)
        flight = Flight(update)
        changed: set[str] = set()
        roots_before = self.roots(update.type_url)
        if state.wildcard and state.roots is None:
            state.roots = set()
        for resource in update.resources:
            if resource.name not in state.explicit:
                # Sent for the wildcard, or after its subscription was given up.
                if state.roots is None:
                    continue
                state.roots.add(resource.name)
            if state.upsert(resource, proxy_answers=self._proxy, flight=flight):
                changed.add(resource.name)
        dropped = [name for name in update.removed if self._remove(state, name)]
        changed.update(update.removed)
        state.flights.append(flight)
        outputs: list[Output] = []
        roots_changed = self.roots(update.type_url) != roots_before
        if changed or roots_changed:
            outputs += [Changed(update.type_url, tuple(sorted(changed)), roots_changed), Save()]
        return outputs + self._answer(state) + self._give_up(state, dropped)

    def _remove(self, state: RelayType, name: str) -> bool:
        """Returns whether nobody wants to hear of the name any more."""
        state.remove(name)
        return name in state.repeated or (name in state.explicit and name not in state.wanted)

    # What the proxy does

    def proxy_connected(self) -> None:
        self._proxy = True

    def proxy_lost(self) -> list[Output]:
        """What it took is kept, what is new is kept unproven, and the control plane need not wait for its word."""
        self._proxy = False
        outputs: list[Output] = []
        for state in self._types.values():
            unknown = [name for name in state.wanted & state.explicit if state.newest(name) is None]
            state.wanted, state.wants_roots = set(), False
            state.absent.clear()
            state.doubtful.clear()
            state.stop_waiting()
            outputs += self._answer(state) + self._give_up(state, unknown)
        return outputs

    def heard(self, event: Event) -> list[Output]:
        """What the proxy's session says that the proxy did."""
        match event:
            case Subscribed(type_url, names):
                return self.want(type_url, names)
            case Unsubscribed(type_url, names):
                return self._unwant(type_url, names)
            case Acked(type_url, versions):
                return self.proxy_has(type_url, versions)
            case Nacked():
                return self._refused(event)
            case Oversized(type_url, name, version, size):
                return self._refuse(type_url, name, version, f"{name}: {size} bytes are more than a response may have")

    def want(self, type_url: str, names: Iterable[str]) -> list[Output]:
        state = self._type(type_url)
        new = []
        for name in names:
            if name == WILDCARD:
                state.wants_roots = True
                if not state.wildcard:
                    state.wildcard = True
                    new.append(name)
                continue
            state.wanted.add(name)
            if name not in state.explicit and (state.roots is None or name not in state.roots):
                state.explicit.add(name)
                new.append(name)
        return [Subscribe(type_url, tuple(new))] if new else []

    def proxy_brings(self, type_url: str, held: Mapping[str, str]) -> list[Output]:
        """A proxy that was there before has these versions. What it has and is not what was kept on disk is left to
        it until the control plane has said which is right."""
        state = self._type(type_url)
        doubted = state.doubt(held)
        return self._ask_again(state, doubted) if doubted else []

    def proxy_has(self, type_url: str, versions: Mapping[str, str | None]) -> list[Output]:
        """The proxy has these versions, because it took them or because it said so when it connected."""
        state = self._type(type_url)
        proven = [name for name, version in versions.items() if version is not None and state.taken(name, version)]
        return [*([Save()] if proven else []), *self._answer(state)]

    def _unwant(self, type_url: str, names: Iterable[str]) -> list[Output]:
        state = self._type(type_url)
        dropped = []
        for name in names:
            if name == WILDCARD:
                # The roots are what the proxy starts with the next time; they are kept up to date for then.
                state.wants_roots = False
                continue
            state.wanted.discard(name)
            if name in state.explicit:
                state.forget(name)
                dropped.append(name)
        state.stop_waiting(names)
        return [*([Save()] if dropped else []), *self._answer(state), *self._give_up(state, dropped)]

    def _refused(self, event: Nacked) -> list[Output]:
        # A response with several resources is sent again in parts until the one at fault is found.
        name = event.culprit
        version = event.versions[name] if name is not None else None
        if name is None or version is None:
            return []
        return self._refuse(event.type_url, name, version, event.message)

    def _refuse(self, type_url: str, name: str, version: str, message: str) -> list[Output]:
        state = self._type(type_url)
        outputs: list[Output] = [Changed(type_url, (name,)), Save()]
        if state.refuse(name, version, message):
            return outputs + self._answer(state)
        # It was acknowledged while the proxy was away. Asked for once more, it comes again, and can be refused.
        return outputs + self._ask_again(state, (name,))

    def _ask_again(self, state: RelayType, names: Iterable[str]) -> list[Output]:
        """A name that is asked for is answered, even if nothing has changed."""
        state.repeated.update(name for name in names if name not in state.explicit)
        return [Subscribe(state.type_url, tuple(names))]

    # What the control plane is told

    def _answer(self, state: RelayType) -> list[Output]:
        return [Answer(flight.update, flight.error) for flight in state.take_answered()]

    def _give_up(self, state: RelayType, names: Iterable[str]) -> list[Output]:
        dropped = tuple(names)
        state.explicit.difference_update(dropped)
        state.repeated.difference_update(dropped)
        return [Unsubscribe(state.type_url, dropped)] if dropped else []

    def _type(self, type_url: str) -> RelayType:
        return self._types.setdefault(type_url, RelayType(type_url))
