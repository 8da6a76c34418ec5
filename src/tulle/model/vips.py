"""Gives services their virtual addresses.

The range says what a client's proxy does with a connection, so that listeners need not change when services come
and go: one range for ports that carry HTTP, one for plain TCP.
"""

import hashlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tulle.model.names import ServiceName

HTTP_V4 = IPv4Network("240.240.0.0/14")
HTTP_V6 = IPv6Network("fd74:756c:6c65:1::/64")
TCP_V4 = IPv4Network("240.244.0.0/14")
TCP_V6 = IPv6Network("fd74:756c:6c65:2::/64")


class OutOfAddresses(Exception):
    """Every address of a range is taken."""


def allocate(service: ServiceName, http: bool, is_taken: Callable[[str], bool]) -> str:
    """The IPv4 address for a service: where its name hashes to, or the next one that is not taken."""
    network = HTTP_V4 if http else TCP_V4
    usable = network.num_addresses - 2
    digest = hashlib.blake2b(f"{service.namespace}/{service.name}".encode(), digest_size=8).digest()
    start = int.from_bytes(digest) % usable
    for step in range(usable):
        address = str(network.network_address + 1 + (start + step) % usable)
        if not is_taken(address):
            return address
    raise OutOfAddresses(f"{network} has no free address for {service}")


def v6_of(address: str) -> str:
    """The IPv6 address that goes with a virtual IPv4 address: the same number in the range of the same meaning."""
    v4 = IPv4Address(address)
    network = HTTP_V6 if v4 in HTTP_V4 else TCP_V6
    return str(IPv6Address(int(network.network_address) + int(v4)))


def carries_http(address: str) -> bool:
    """Whether connections to this virtual IPv4 address are taken for HTTP."""
    return IPv4Address(address) in HTTP_V4


def is_virtual(address: str) -> bool:
    """Whether a text is an IPv4 address of one of the two ranges."""
    try:
        parsed = IPv4Address(address)
    except ValueError:
        return False
    return parsed in HTTP_V4 or parsed in TCP_V4
