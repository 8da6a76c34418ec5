"""Makes responses by joining bytes, so that a resource is encoded once however many clients it is sent to.

Source: the protobuf wire format; field numbers of envoy.service.discovery.v3 DeltaDiscoveryResponse and
DiscoveryResponse.
"""

from collections.abc import Iterable

from tulle.xds.resource import Resource

_LENGTH_DELIMITED = 2

_VERSION_INFO = 1
_RESOURCES = 2
_TYPE_URL = 4
_NONCE = 5
_REMOVED_RESOURCES = 6

_ANY_TYPE_URL = 1
_ANY_VALUE = 2


def delta_response(type_url: str, nonce: str, resources: Iterable[Resource], removed: Iterable[str]) -> bytes:
    """A serialised DeltaDiscoveryResponse."""
    return b"".join(
        [
            *(resource.wire for resource in resources),
            _text(_TYPE_URL, type_url),
            _text(_NONCE, nonce),
            *(_text(_REMOVED_RESOURCES, name) for name in removed),
        ]
    )


def sotw_response(type_url: str, nonce: str, version: str, resources: Iterable[Resource]) -> bytes:
    """A serialised DiscoveryResponse."""
    return b"".join(
        [
            _text(_VERSION_INFO, version),
            *(_field(_RESOURCES, any_message(resource)) for resource in resources),
            _text(_TYPE_URL, type_url),
            _text(_NONCE, nonce),
        ]
    )


def any_message(resource: Resource) -> bytes:
    """A serialised google.protobuf.Any of the resource, as state-of-the-world responses carry it."""
    return _text(_ANY_TYPE_URL, resource.type_url) + _field(_ANY_VALUE, resource.body)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
