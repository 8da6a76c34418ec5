"""One client's incremental (delta) xDS stream, as a state machine without I/O.

The caller feeds it requests and the names that changed, and pulls responses until there are none. Content is looked
up when a response is pulled, so newer state supersedes older without a queue: a slow client costs one response per
type, however much changes meanwhile.

Source: Envoy's xDS protocol documentation, "The xDS Protocol: Incremental xDS"; gRFC A57.
"""

from collections.abc import Iterable

from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.delta_type import Batch, DeltaType
from tulle.stream.encoding import delta_response
from tulle.stream.order import REFERRERS, UPSERTS_WAIT_FOR, rank
from tulle.stream.protocol import Event, Limits, Oversized, ProtocolError, Source
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG


class DeltaSession:
    """`nonce_prefix` differs between streams, so that a nonce of another stream is never taken for one of this.

    After every `receive`, `changed` and `roots_changed`, pull `next_response` until it returns None.
    """

    def __init__(self, source: Source, nonce_prefix: str, limits: Limits | None = None) -> None:
        self._source = source
        self._nonce_prefix = nonce_prefix
        self._limits = limits or Limits()
        self._responses = 0
        self._types: dict[str, DeltaType] = {}
        # Clusters sent before the client asked for endpoints; see _warm.
        self._sent_clusters: set[str] = set()
        self._sent_listener = False

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> tuple[Event, ...]:
        """Takes one request and says what the client did by it. Raises ProtocolError."""
        self._check(request)
        state = self._types.get(request.type_url) or self._start(request)
        error = request.error_detail.message if request.HasField("error_detail") else None
        events = state.settle(request.response_nonce, error)
        first = state.is_new
        # A request without names is an answer to a response, or the start of a type.
        if first or request.resource_names_subscribe or request.resource_names_unsubscribe:
            events += state.subscribe(request.resource_names_subscribe, request.resource_names_unsubscribe)
        if first:
            self._warm_late(state)
        return tuple(events)

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
        """A serialised DeltaDiscoveryResponse that is to be sent now, or None. At most one per type is in flight."""
        for type_url, state in self._types.items():
            if state.in_flight or not state.has_work or self._must_wait(type_url):
                continue
            if (batch := state.take(self._source)) is not None:
                return self._send(state, batch)
        for type_url in reversed(self._types):
            state = self._types[type_url]
            if state.leaving and not state.in_flight and not state.has_work and self._unreferenced(type_url):
                return self._send(state, state.take_removals())
        return None

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

    def _send(self, state: DeltaType, batch: Batch) -> bytes:
        self._responses += 1
        nonce = f"{self._nonce_prefix}{self._responses}"
        state.sent(nonce, batch)
        self._warm(state.type_url, batch)
        return delta_response(state.type_url, nonce, batch.upserts, batch.removed)

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

    def _warm_late(self, state: DeltaType) -> None:
        """The same for a client that reconnects: it says that it has the endpoints of a cluster just sent."""
        if state.type_url == ENDPOINTS:
            state.force(self._sent_clusters)
            self._sent_clusters = set()
        elif state.type_url == ROUTE_CONFIG and self._sent_listener:
            state.force(tuple(state.explicit))

    # Start and limits

    def _start(self, request: discovery_pb2.DeltaDiscoveryRequest) -> DeltaType:
        if len(self._types) >= self._limits.types:
            raise ProtocolError(f"more than {self._limits.types} resource types on one stream")
        type_url = request.type_url
        state = DeltaType(
            type_url,
            defer_removals=type_url in REFERRERS,
            held=request.initial_resource_versions,
            limits=self._limits,
        )
        self._types[type_url] = state
        self._types = {name: self._types[name] for name in sorted(self._types, key=rank)}
        return state

    def _check(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        if not request.type_url:
            raise ProtocolError("a request without type_url")
        limits = self._limits
        names = (request.resource_names_subscribe, request.resource_names_unsubscribe)
        if sum(map(len, names)) > limits.names_per_request:
            raise ProtocolError(f"more than {limits.names_per_request} names in one request")
        if len(request.initial_resource_versions) > limits.subscriptions:
            raise ProtocolError(f"more than {limits.subscriptions} initial resource versions")
        for name in (request.type_url, *names[0], *names[1], *request.initial_resource_versions):
            if not name:
                raise ProtocolError("an empty resource name")
            if len(name) > limits.name_length:
                raise ProtocolError(f"a name longer than {limits.name_length} characters")
