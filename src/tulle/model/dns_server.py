"""Where a DNS server is, as people write it: an address, with a port where it is not 53."""

import re
from ipaddress import ip_address

from msgspec import Struct

DNS_PORT = 53

_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})")


class DnsServer(Struct, frozen=True, gc=False):
    """`address` is an IPv4 or IPv6 address, without brackets."""

    address: str
    port: int = DNS_PORT


def dns_server(text: str) -> DnsServer | None:
    """Reads `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`; None for anything else."""
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        return DnsServer(text) if _is_address(text) else None
    address, port = found[1] or found[2], int(found[3])
    of_version = 6 if found[1] else 4
    return DnsServer(address, port) if _is_address(address, of_version) and 1 <= port <= 65535 else None


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        return ip_address(text).version == (version or ip_address(text).version)
    except ValueError:
        return False
