"""One client's state-of-the-world xDS stream, as a state machine without I/O.

Every response of listeners and clusters is the whole set, and what is missing from it is deleted. So the set is made
of what the client accepted last plus what is new: a resource that the client refuses keeps its last good version, and
the others go on.

Source: Envoy's xDS protocol documentation, "The xDS Protocol: Basic Protocol Overview"; gRFC A27, A57.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.ads import AdsSession
from tulle.stream.encoding import sotw_response
from tulle.stream.order import REFERRERS
from tulle.stream.protocol import WILDCARD, Acked, Event, Limits, Source
from tulle.stream.type_state import Batch, TypeState
from tulle.xds.resource import Resource
from tulle.xds.type_urls import CLUSTER, LISTENER

WHOLE_SETS: Final = frozenset({LISTENER, CLUSTER})


class SotwSession(AdsSession):
    """Every request names all that the client wants of a type, every response of some types all there is."""

    def __init__(self, source: Source, nonce_prefix: str, limits: Limits | None = None) -> None:
        super().__init__(source, nonce_prefix, limits)
        self._nonces: dict[str, str] = {}
        self._has_named: set[str] = set()
        # By type: what the client accepted last, by the name it asked for, and what is in flight.
        self._accepted: dict[str, dict[str, Resource]] = {}
        self._offered: dict[str, dict[str, Resource]] = {}

    def receive(self, request: discovery_pb2.DiscoveryRequest) -> tuple[Event, ...]:
        """Takes one request and says what the client did by it. Raises ProtocolError.

        A request that answers an older response than the last is ignored: the client answers the last one too, and
        its answer names everything it wants.
        """
        self._check(request.type_url, request.resource_names)
        first = request.type_url not in self._types
        if first:
            self._start(self._new_state(request.type_url))
        state = self._types[request.type_url]
        if self._is_stale(state, request.response_nonce):
            return ()
        events = self._settle(state, request)
        events += self._resubscribe(state, request.resource_names)
        if first:
            self._warm_late(state)
        return tuple(events)

    def _is_stale(self, state: TypeState, nonce: str) -> bool:
        last = self._nonces.get(state.type_url)
        if last is None:
            return False
        return nonce != last if nonce else state.in_flight

    def _settle(self, state: TypeState, request: discovery_pb2.DiscoveryRequest) -> list[Event]:
        events = state.settle(request.response_nonce, self._refusal(request))
        offered = self._offered.pop(state.type_url, {}) if events else {}
        accepted = self._accepted.setdefault(state.type_url, {})
        for event in events:
            if isinstance(event, Acked):
                accepted.update(offered)
        return events

    def _resubscribe(self, state: TypeState, names: Iterable[str]) -> list[Event]:
        wanted = set(names)
        if wanted:
            self._has_named.add(state.type_url)
        elif state.type_url not in self._has_named:
            wanted = {WILDCARD}
        joined, left = wanted - state.subscriptions, state.subscriptions - wanted
        if not joined and not left and not state.is_new:
            return []
        return self._subscribe(state, sorted(joined), sorted(left))

    def _may_speak(self, state: TypeState) -> bool:
        """A whole set with a hole says that something does not exist: it waits until everything is known."""
        if not super()._may_speak(state):
            return False
        return state.type_url not in WHOLE_SETS or not state.awaits(self._source)

    def _encode(self, state: TypeState, nonce: str, batch: Batch) -> bytes | None:
        type_url = state.type_url
        offered = {resource.name: resource for resource in batch.upserts}
        if type_url in WHOLE_SETS:
            kept = self._kept(state, batch)
            content = sorted({**kept, **offered}.values(), key=lambda resource: resource.name)
        elif not offered and type_url in self._nonces:
            return None
        else:
            content = list(offered.values())
        self._nonces[type_url] = nonce
        self._offered[type_url] = offered
        return sotw_response(type_url, nonce, _version(content), content)

    def _kept(self, state: TypeState, batch: Batch) -> dict[str, Resource]:
        """What the client has and is to keep."""
        accepted = self._accepted.setdefault(state.type_url, {})
        for name in accepted.keys() - state.held.keys():
            del accepted[name]
        return {name: resource for name, resource in accepted.items() if name not in batch.removed}

    def _new_state(self, type_url: str) -> TypeState:
        whole = type_url in WHOLE_SETS
        return TypeState(type_url, self._limits, defer_removals=type_url in REFERRERS, splits=not whole)


def _version(resources: Iterable[Resource]) -> str:
    """Says the same for the same content, on every stream and control plane."""
    digest = hashlib.blake2b(digest_size=8)
    for resource in resources:
        digest.update(f"{resource.name}\0{resource.version}\0".encode())
    return digest.hexdigest()
