"""Reads who is at the other end of a gRPC connection.

gRPC has checked the certificate against the trust bundle; which identity it carries is decided here, for every service
that takes mutual TLS.
"""

from collections.abc import Iterable, Mapping

from tulle.identity.errors import Denied, InvalidSpiffeId
from tulle.identity.spiffe_id import NodeIdentity, parse

_URI_NAMES = "peer_uri"


def node_peer(auth_context: Mapping[str, Iterable[bytes]], trust_domain: str) -> NodeIdentity:
    """The node whose agent calls; `auth_context` is what `context.auth_context()` gives. Raises Denied for everybody
    else: no certificate, no or several URI names, another trust domain, a workload."""
    uris = tuple(auth_context.get(_URI_NAMES, ()))
    try:
        identity = parse(uris[0].decode("ascii", "replace")) if len(uris) == 1 else None
    except InvalidSpiffeId:
        identity = None
    if not isinstance(identity, NodeIdentity) or identity.trust_domain != trust_domain:
        raise Denied("only nodes of this mesh may call this")
    return identity
