"""Rules for names that stand where no type checks them."""

import msgspec

from tulle.model.syntax import DnsSubdomain


def is_subdomain(text: str) -> bool:
    """Whether this is a DNS name, as names of nodes and service accounts are."""
    try:
        msgspec.convert(text, DnsSubdomain)
    except msgspec.ValidationError:
        return False
    return True
