"""An xDS resource as it goes over the wire, encoded once for everybody who asks."""

import hashlib

from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct


class Resource(Struct, frozen=True, gc=False):
    """One compiled resource.

    `version` is the hash of `body`, so that control planes and restarts agree on it. `body` is the serialised
    message of `type_url`. `wire` is the field `resources` of a DeltaDiscoveryResponse with this resource in it
    (tag, length and a serialised `Resource`), so that a response is made by joining byte strings.
    """

    type_url: str
    name: str
    version: str
    body: bytes
    wire: bytes
    aliases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the bytes: those of a secret hold a private key."""
        return f"Resource({self.type_url!r}, {self.name!r}, version={self.version!r}, {len(self.body)} bytes)"


def resource(type_url: str, name: str, body: bytes, aliases: tuple[str, ...] = ()) -> Resource:
    """Encodes `body` as the resource `name`; equal arguments give equal bytes."""
    version = hashlib.blake2b(body, digest_size=8).hexdigest()
    envelope = discovery_pb2.Resource(name=name, version=version, aliases=aliases)
    envelope.resource.type_url = type_url
    envelope.resource.value = body
    response = discovery_pb2.DeltaDiscoveryResponse(resources=[envelope])
    return Resource(type_url, name, version, body, response.SerializeToString(deterministic=True), aliases)


def nothing(type_url: str, name: str, aliases: tuple[str, ...]) -> Resource:
    """Says that there is nothing by this name: a resource without a body, which Envoy takes for an answer."""
    envelope = discovery_pb2.Resource(name=name, version="-", aliases=aliases)
    response = discovery_pb2.DeltaDiscoveryResponse(resources=[envelope])
    return Resource(type_url, name, "-", b"", response.SerializeToString(deterministic=True), aliases)
