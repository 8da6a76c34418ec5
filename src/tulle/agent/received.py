"""Turns a resource that the control plane sent into one that can be sent on, with not a byte of it changed.

The version is the control plane's, whatever it is made of, and a resource without a body stays without one.
"""

from envoy.service.discovery.v3 import discovery_pb2

from tulle.xds.resource import Resource


def from_envelope(type_url: str, envelope: discovery_pb2.Resource) -> Resource:
    """The resource in one element of a DeltaDiscoveryResponse."""
    response = discovery_pb2.DeltaDiscoveryResponse(resources=[envelope])
    return Resource(
        type_url,
        envelope.name,
        envelope.version,
        envelope.resource.value,
        response.SerializeToString(deterministic=True),
        tuple(envelope.aliases),
    )


def from_wire(type_url: str, wire: bytes) -> Resource:
    """The resource whose `wire` was kept. Raises google.protobuf.message.DecodeError."""
    envelope = discovery_pb2.DeltaDiscoveryResponse.FromString(wire).resources[0]
    return Resource(type_url, envelope.name, envelope.version, envelope.resource.value, wire, tuple(envelope.aliases))
