"""One client's incremental (delta) xDS stream, as a state machine without I/O.

Source: Envoy's xDS protocol documentation, "The xDS Protocol: Incremental xDS".
"""

from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.ads import AdsSession
from tulle.stream.encoding import delta_response
from tulle.stream.order import REFERRERS
from tulle.stream.protocol import Event
from tulle.stream.type_state import Batch, TypeState


class DeltaSession(AdsSession):
    """Changes go out as differences; a client that reconnects says what it has."""

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> tuple[Event, ...]:
        """Takes one request and says what the client did by it. Raises ProtocolError."""
        subscribe, unsubscribe = request.resource_names_subscribe, request.resource_names_unsubscribe
        self._check(request.type_url, subscribe, unsubscribe, request.initial_resource_versions)
        first = request.type_url not in self._types
        if first:
            self._start(self._new_state(request))
        state = self._types[request.type_url]
        events = state.settle(request.response_nonce, self._refusal(request))
        # A later request without names only answers a response.
        if first or subscribe or unsubscribe:
            events += self._subscribe(state, subscribe, unsubscribe)
        if first:
            self._warm_late(state)
        return tuple(events)

    def _encode(self, state: TypeState, nonce: str, batch: Batch) -> bytes:
        return delta_response(state.type_url, nonce, batch.upserts, batch.removed)

    def _new_state(self, request: discovery_pb2.DeltaDiscoveryRequest) -> TypeState:
        return TypeState(
            request.type_url,
            self._limits,
            defer_removals=request.type_url in REFERRERS,
            held=request.initial_resource_versions,
        )
