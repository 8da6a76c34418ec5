"""Reads and checks SPIFFE IDs: workloads', nodes' and the control plane's.

A text that two parsers read differently lets one identity pass for another, so exactly the characters of the
specification are taken, and only in the layouts that Tulle issues. Source: SPIFFE-ID specification, section 2.
"""

import re
from typing import TypeAlias

from msgspec import Struct

from tulle.identity.errors import InvalidSpiffeId
from tulle.model.names import SpiffeId

_SCHEME = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_MAX_BYTES = 2048


class NodeIdentity(Struct, frozen=True, order=True):
    """A node's agent: `spiffe://<trust-domain>/tulle/node/<node>` as text."""

    trust_domain: str
    node: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}/tulle/node/{self.node}"


class ControlPlaneIdentity(Struct, frozen=True, order=True):
    """The control plane: `spiffe://<trust-domain>/tulle/control-plane` as text."""

    trust_domain: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}/tulle/control-plane"


Identity: TypeAlias = SpiffeId | NodeIdentity | ControlPlaneIdentity


def parse(text: str) -> Identity:
    """The identity that `text` names. Raises InvalidSpiffeId."""
    if len(text) > _MAX_BYTES or not text.startswith(_SCHEME):
        raise InvalidSpiffeId(f"not a SPIFFE ID: {text[:100]!r}")
    trust_domain, *segments = text.removeprefix(_SCHEME).split("/")
    check_trust_domain(trust_domain)
    for segment in segments:
        check_segment(segment)
    match segments:
        case ["ns", namespace, "sa", service_account]:
            return SpiffeId(trust_domain, namespace, service_account)
        case ["tulle", "node", node]:
            return NodeIdentity(trust_domain, node)
        case ["tulle", "control-plane"]:
            return ControlPlaneIdentity(trust_domain)
    raise InvalidSpiffeId(f"no workload, node or control plane: {text[:100]!r}")


def checked(identity: Identity) -> Identity:
    """`identity`, if its text names it and nothing else. Raises InvalidSpiffeId: a name with a slash, for example,
    would make the text of another identity."""
    if parse(str(identity)) != identity:
        raise InvalidSpiffeId(f"a name in it makes another identity: {str(identity)[:100]!r}")
    return identity


def check_trust_domain(text: str) -> None:
    if not _TRUST_DOMAIN.fullmatch(text):
        raise InvalidSpiffeId(f"not a trust domain (1 to 255 of a-z, 0-9, '.', '-', '_'): {text[:100]!r}")


def check_segment(text: str) -> None:
    """Raises InvalidSpiffeId unless `text` can be one part of a SPIFFE ID's path, such as a node's name."""
    if not _SEGMENT.fullmatch(text) or text in (".", ".."):
        raise InvalidSpiffeId(f"not a name in a SPIFFE ID (of A-Z, a-z, 0-9, '.', '-', '_'): {text[:100]!r}")
