"""Reads the header with which a proxy says where a connection was going. Pure.

Source: "The PROXY protocol", version 2, haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PREFIX_SIZE = 16
MOST = 2048
"""The longest header body that is read, in bytes: addresses take 36, the rest are additions nobody here wants."""

_VERSION_AND_PROXY = 0x21
_TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x11, 0x21


class HeaderError(Exception):
    """What came is not the header of a proxied TCP connection."""


class Destination(Struct, frozen=True):
    """Where the connection was going."""

    address: IPv4Address | IPv6Address
    port: int


def body_size(prefix: bytes) -> int:
    """How many bytes follow the first PREFIX_SIZE. Raises HeaderError."""
    if len(prefix) != PREFIX_SIZE or not prefix.startswith(SIGNATURE):
        raise HeaderError("no PROXY protocol version 2")
    if prefix[12] != _VERSION_AND_PROXY:
        raise HeaderError("not a proxied connection")
    (size,) = struct.unpack_from("!H", prefix, 14)
    if size > MOST:
        raise HeaderError("too long")
    return int(size)


def destination(prefix: bytes, body: bytes) -> Destination:
    """The destination in a header whose prefix `body_size` accepted. Raises HeaderError."""
    family = prefix[13]
    if family == _TCP_OVER_IPV4 and len(body) >= 12:
        return Destination(IPv4Address(body[4:8]), int.from_bytes(body[10:12], "big"))
    if family == _TCP_OVER_IPV6 and len(body) >= 36:
        address = IPv6Address(body[16:32])
        return Destination(address.ipv4_mapped or address, int.from_bytes(body[34:36], "big"))
    raise HeaderError("not a TCP connection, or cut short")


def header(source: Destination, to: Destination) -> bytes:
    """The header of a connection from `source` to `to`, both of one IP version."""
    family = _TCP_OVER_IPV4 if to.address.version == 4 else _TCP_OVER_IPV6
    body = source.address.packed + to.address.packed + struct.pack("!HH", source.port, to.port)
    return SIGNATURE + struct.pack("!BBH", _VERSION_AND_PROXY, family, len(body)) + body
