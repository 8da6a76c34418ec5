"""Knows what a relay holds of one xDS type: what is proven, what is new, what was refused, who wants what.

A resource from the control plane is a candidate until the proxy has taken it; then it is good. The last good one is
what the relay goes back to when the proxy refuses a newer one.
"""

from collections.abc import Iterable, Mapping

from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.client import Update
from tulle.xds.resource import Resource

_REFUSALS_PER_NAME = 16


class Flight:
    """A response of the control plane that waits for the proxy's word on `waiting` (name to version)."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.waiting: dict[str, str] = {}
        self.refusals: dict[str, str] = {}

    @property
    def error(self) -> str | None:
        """What to answer the control plane: None acknowledges. A refused resource is always named, so that the
        control plane knows which of the others it may send again."""
        if not self.refusals:
            return None
        return "\n".join(text if name in text else f"{name}: {text}" for name, text in sorted(self.refusals.items()))


class RelayType:
    """One type. Names are in `explicit` when the control plane is asked for them by name: those that the proxy wants
    (`wanted`) and those that are kept for its next start; in `repeated` when it was asked once more for one of the
    wildcard's."""

    def __init__(self, type_url: str) -> None:
        self.type_url = type_url
        self.good: dict[str, Resource] = {}
        self.candidates: dict[str, Resource] = {}
        # Name -> version -> the proxy's words. More than one version, or two bad ones would take turns for ever.
        self.refused: dict[str, dict[str, str]] = {}
        self.absent: set[str] = set()
        self.roots: set[str] | None = None
        self.explicit: set[str] = set()
        self.repeated: set[str] = set()
        self.wildcard = False
        self.wanted: set[str] = set()
        self.wants_roots = False
        self.flights: list[Flight] = []
        # What came from disk and was not confirmed since; and what the proxy is known to have in another version.
        self.loaded: set[str] = set()
        self.doubtful: set[str] = set()

    def load(self, good: Mapping[str, bytes], unproven: Mapping[str, bytes], roots: Iterable[str] | None) -> None:
        """Takes what was cached; the control plane is asked for all of it again, by the wildcard or by name."""
        self.good = {name: _from_wire(self.type_url, wire) for name, wire in good.items()}
        self.candidates = {name: _from_wire(self.type_url, wire) for name, wire in unproven.items()}
        if roots is not None:
            self.roots, self.wildcard = set(roots), True
        self.loaded = self.good.keys() | self.candidates.keys()
        self.explicit = self.loaded - (self.roots or set())

    def newest(self, name: str) -> Resource | None:
        return self.candidates.get(name) or self.good.get(name)

    def is_wanted(self, name: str) -> bool:
        """Whether the proxy has asked for it, and so will say whether it takes it."""
        return name in self.wanted or (self.wants_roots and self.roots is not None and name in self.roots)

    def doubt(self, held: Mapping[str, str]) -> list[str]:
        """The proxy has `held` (name to version) from before. Returns the names of which it has something else than
        was kept on disk: a write may have been lost, so which of the two is newer only the control plane knows."""
        doubted = [name for name, version in held.items() if self._is_doubtful(name, version)]
        self.doubtful.update(doubted)
        return doubted

    def _is_doubtful(self, name: str, version: str) -> bool:
        newest = self.newest(name)
        if newest is None:
            return name not in self.absent
        return name in self.loaded and newest.version != version

    @property
    def missing(self) -> frozenset[str]:
        """What the proxy wants and nothing is known about."""
        return frozenset(name for name in self.wanted if self.newest(name) is None and name not in self.absent)

    def held_versions(self, *, proven_only: bool) -> dict[str, str]:
        """The versions that the control plane need not send again. `proven_only`: a proxy is about to say whether it
        takes the newer ones, and its word can only be passed on as the answer to a response that brings them."""
        held = dict(self.good)
        if not proven_only:
            held.update(self.candidates)
        return {name: resource.version for name, resource in held.items()}

    def upsert(self, resource: Resource, *, proxy_answers: bool, flight: Flight) -> bool:
        """Takes a resource from the control plane. Returns whether the proxy's answer to it may change."""
        name, version = resource.name, resource.version
        self._withdraw(name)
        self.absent.discard(name)
        words = self.refused.get(name, {}).get(version)
        if words is not None:
            flight.refusals[name] = words
            return False
        good = self.good.get(name)
        if good is not None and good.version == version:
            self.refused.pop(name, None)
            return self.candidates.pop(name, None) is not None
        self.candidates[name] = resource
        if proxy_answers and self.is_wanted(name):
            flight.waiting[name] = version
        return True

    def remove(self, name: str) -> None:
        """The control plane says that there is no such resource."""
        self._withdraw(name)
        self.forget(name)
        if name in self.wanted:
            self.absent.add(name)

    def forget(self, name: str) -> None:
        self.good.pop(name, None)
        self.candidates.pop(name, None)
        self.refused.pop(name, None)
        self.absent.discard(name)
        if self.roots is not None:
            self.roots.discard(name)

    def taken(self, name: str, version: str) -> bool:
        """The proxy has this version. Returns whether what is good has changed."""
        for flight in self.flights:
            if flight.waiting.get(name) == version:
                del flight.waiting[name]
        candidate = self.candidates.get(name)
        if candidate is None or candidate.version != version:
            return False
        self.good[name] = self.candidates.pop(name)
        self.refused.pop(name, None)
        return True

    def refuse(self, name: str, version: str, message: str) -> bool:
        """The proxy refused this version. Returns whether the control plane is waiting for the answer."""
        refused = self.refused.setdefault(name, {})
        refused[version] = message
        if len(refused) > _REFUSALS_PER_NAME:
            del refused[next(iter(refused))]
        candidate = self.candidates.get(name)
        if candidate is not None and candidate.version == version:
            del self.candidates[name]
        waited = False
        for flight in self.flights:
            if flight.waiting.get(name) == version:
                del flight.waiting[name]
                flight.refusals[name] = message
                waited = True
        return waited

    def stop_waiting(self, names: Iterable[str] | None = None) -> None:
        """The proxy will not answer about `names` (None: about anything)."""
        for flight in self.flights:
            for name in tuple(flight.waiting) if names is None else names:
                flight.waiting.pop(name, None)

    def take_answered(self) -> list[Flight]:
        """The responses about which the proxy has said everything."""
        answered = [flight for flight in self.flights if not flight.waiting]
        self.flights = [flight for flight in self.flights if flight.waiting]
        return answered

    def _withdraw(self, name: str) -> None:
        """A newer state of a name ends the wait for its older one, and every doubt."""
        self.loaded.discard(name)
        self.doubtful.discard(name)
        for flight in self.flights:
            flight.waiting.pop(name, None)


def _from_wire(type_url: str, wire: bytes) -> Resource:
    """A resource exactly as it was received. Raises google.protobuf.message.DecodeError."""
    envelope = discovery_pb2.DeltaDiscoveryResponse.FromString(wire).resources[0]
    return Resource(type_url, envelope.name, envelope.version, envelope.resource.value, wire, tuple(envelope.aliases))
