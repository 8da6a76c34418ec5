"""What an agent and the control plane say to each other, as values, and as the messages on the wire."""

from collections.abc import Mapping

from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from tulle.agent.received import from_envelope
from tulle.xds.resource import Resource

_REFUSED = 3  # google.rpc.Code.INVALID_ARGUMENT


class ToUpstream(Struct, frozen=True):
    """One DeltaDiscoveryRequest. `nonce` empty: not an answer; `error` None: an acknowledgement, or no answer."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    held: Mapping[str, str] = {}
    nonce: str = ""
    error: str | None = None


class FromUpstream(Struct, frozen=True):
    """One DeltaDiscoveryResponse."""

    type_url: str
    nonce: str
    upserts: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


def to_request(message: ToUpstream, node: str = "") -> discovery_pb2.DeltaDiscoveryRequest:
    """`node`: the xDS node id, for the first request of a stream."""
    request = discovery_pb2.DeltaDiscoveryRequest(
        type_url=message.type_url,
        resource_names_subscribe=message.subscribe,
        resource_names_unsubscribe=message.unsubscribe,
        initial_resource_versions=message.held,
        response_nonce=message.nonce,
    )
    if node:
        request.node.id = node
    if message.error is not None:
        request.error_detail.code = _REFUSED
        request.error_detail.message = message.error
    return request


def from_response(response: discovery_pb2.DeltaDiscoveryResponse) -> FromUpstream:
    return FromUpstream(
        response.type_url,
        response.nonce,
        tuple(from_envelope(response.type_url, envelope) for envelope in response.resources),
        tuple(response.removed_resources),
    )
