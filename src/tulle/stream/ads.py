"""What both variants of an aggregated xDS stream have in common: the order in which types get to speak.

The caller feeds requests and the names that changed, and pulls responses until there are none. Content is looked up
when a response is pulled, so newer state supersedes older without a queue: a slow client costs one response per
type, however much changes meanwhile.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from itertools import chain

from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.order import REFERRERS, UPSERTS_WAIT_FOR, rank
from tulle.stream.protocol import Event, Limits, Oversized, ProtocolError, Source
from tulle.stream.type_state import Batch, TypeState
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG


class AdsSession(ABC):
    """`nonce_prefix` differs between streams, so that a nonce of another stream is never taken for one of this.

    After every request, `changed` and `roots_changed`, pull `next_response` until it returns None.
    """

    def __init__(self, source: Source, nonce_prefix: str, limits: Limits | None = None) -> None:
        self._source = source
        self._nonce_prefix = nonce_prefix
        self._limits = limits or Limits()
        self._responses = 0
        self._types: dict[str, TypeState] = {}
        # Clusters sent before the client asked for endpoints; see _warm.
        self._sent_clusters: set[str] = set()
        self._sent_listener = False

    @abstractmethod
    def _encode(self, state: TypeState, nonce: str, batch: Batch) -> bytes | None:
        """The serialised response; None if the protocol has no words for this batch."""

    def _may_speak(self, state: TypeState) -> bool:
        """Whether a response of the type can be made now, apart from the order of types."""
        return not state.in_flight

    def changed(self, names: Iterable[tuple[str, str]]) -> None:
        """The resources (type URL, name) may answer differently now. Names nobody here asked for are ignored."""
        for type_url, name in names:
            if (state := self._types.get(type_url)) is not None:
                state.changed(name)

    def roots_changed(self, type_url: str) -> None:
        """The wildcard of the type may stand for other names now."""
        if (state := self._types.get(type_url)) is not None:
            state.roots_changed()

    def next_response(self) -> bytes | None:
        """A serialised response that is to be sent now, or None. At most one per type is in flight."""
        for type_url, state in self._types.items():
            while state.has_work and self._may_speak(state) and not self._must_wait(type_url):
                if (batch := state.take(self._source)) is None:
                    break
                if (response := self._send(state, batch)) is not None:
                    return response
        for type_url, state in self._types.items():
            if not state.leaving or state.in_flight or state.has_work or not self._unreferenced(type_url):
                continue
            if (response := self._send(state, state.take_removals())) is not None:
                return response
        return None

    @property
    def has_work(self) -> bool:
        """Whether `next_response` may have something to say. If not, it returns None."""
        return any(state.has_work or state.leaving for state in self._types.values())

    def take_oversized(self) -> tuple[Oversized, ...]:
        """Resources kept back because of their size since the last call."""
        taken: list[Oversized] = []
        for state in self._types.values():
            taken += state.oversized
            state.oversized.clear()
        return tuple(taken)

    # Inspection

    @property
    def types(self) -> tuple[str, ...]:
        """The types the client has asked for, in the order in which they are sent."""
        return tuple(self._types)

    def subscriptions(self, type_url: str) -> frozenset[str]:
        """The names the client asked for, `*` for the wildcard among them."""
        state = self._types.get(type_url)
        return state.subscriptions if state is not None else frozenset()

    def acknowledged(self, type_url: str) -> dict[str, str]:
        """The versions (by name) that the client has, as far as it said so."""
        state = self._types.get(type_url)
        return {name: version for name, version in state.held.items() if version} if state is not None else {}

    @property
    def in_sync(self) -> bool:
        """The client has acknowledged or refused everything that can be said now."""
        return all(state.settled for state in self._types.values())

    # Order across types

    def _must_wait(self, type_url: str) -> bool:
        return any(
            (other := self._types.get(before)) is not None and other.making
            for before in UPSERTS_WAIT_FOR.get(type_url, ())
        )

    def _unreferenced(self, type_url: str) -> bool:
        """A client that refused a referrer still uses the older one, with all that it refers to."""
        return all(
            (other := self._types.get(referrer)) is None or (other.settled and not other.refuses)
            for referrer in REFERRERS.get(type_url, ())
        )

    def _send(self, state: TypeState, batch: Batch) -> bytes | None:
        nonce = f"{self._nonce_prefix}{self._responses + 1}"
        response = self._encode(state, nonce, batch)
        if response is None:
            state.absorb(batch)
            return None
        self._responses += 1
        state.sent(nonce, batch)
        self._warm(state.type_url, batch)
        return response

    def _warm(self, type_url: str, batch: Batch) -> None:
        """A proxy holds a new cluster or listener back until it has heard its endpoints or routes once more,
        even those it has."""
        if not batch.upserts:
            return
        if type_url == CLUSTER:
            if (endpoints := self._types.get(ENDPOINTS)) is None:
                self._sent_clusters.update(batch.versions)
            else:
                endpoints.force(batch.versions)
        elif type_url == LISTENER:
            self._sent_listener = True
            if (routes := self._types.get(ROUTE_CONFIG)) is not None:
                routes.force(tuple(routes.explicit))

    def _warm_late(self, state: TypeState) -> None:
        """The same for a client that reconnects: it says that it has the endpoints of a cluster just sent."""
        if state.type_url == ENDPOINTS:
            state.force(self._sent_clusters)
            self._sent_clusters = set()
        elif state.type_url == ROUTE_CONFIG and self._sent_listener:
            state.force(tuple(state.explicit))

    # Start and limits

    def _start(self, state: TypeState) -> None:
        if len(self._types) >= self._limits.types:
            raise ProtocolError(f"more than {self._limits.types} resource types on one stream")
        self._types[state.type_url] = state
        self._types = {type_url: self._types[type_url] for type_url in sorted(self._types, key=rank)}

    def _subscribe(self, state: TypeState, names: Iterable[str], unsubscribe: Iterable[str]) -> list[Event]:
        events = state.subscribe(names, unsubscribe)
        if sum(each.name_bytes for each in self._types.values()) > self._limits.name_bytes:
            raise ProtocolError(f"the names of one stream take more than {self._limits.name_bytes} bytes")
        return events

    def _refusal(self, request: discovery_pb2.DeltaDiscoveryRequest | discovery_pb2.DiscoveryRequest) -> str | None:
        """Why the client refuses the response that it answers; None where it takes it. Cut, because every name of the
        response is looked for in it."""
        if not request.HasField("error_detail"):
            return None
        return str(request.error_detail.message[: self._limits.message_length])

    def _check(self, type_url: str, *lists: Collection[str]) -> None:
        if not type_url:
            raise ProtocolError("a request without type_url")
        if any(len(names) > self._limits.subscriptions for names in lists):
            raise ProtocolError(f"more than {self._limits.subscriptions} names in a list")
        for name in chain((type_url,), *lists):
            if not name:
                raise ProtocolError("an empty resource name")
            if len(name) > self._limits.name_length:
                raise ProtocolError(f"a name longer than {self._limits.name_length} characters")
