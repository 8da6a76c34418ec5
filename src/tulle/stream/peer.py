"""Says who is at the other end of a gRPC stream, from what the transport has proved.

Only two kinds of peers exist: processes on this host over a unix socket, whose file mode decides who may connect, and
holders of a certificate with exactly one SPIFFE ID. Anything else is nobody.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from cryptography import x509
from msgspec import Struct

# URI names only: the property with all alternative names does not say which of them is a DNS name.
_URI_NAMES = "peer_uri"
_CERTIFICATE = "x509_pem_cert"
_SPIFFE_SCHEME = "spiffe://"


class Peer(Struct, frozen=True):
    """`spiffe_id` is that of the client certificate, or None over a unix socket; `begins` and `expires` are when the
    certificate does, where that is known. `address` is for people to read."""

    address: str
    spiffe_id: str | None
    begins: datetime | None = None
    expires: datetime | None = None


def peer_of(address: str, auth_context: Mapping[str, Iterable[bytes]]) -> Peer | None:
    """The authenticated peer, or None if there is no proof of who it is.

    `address` and `auth_context` are what a gRPC context gives as `peer()` and `auth_context()`.
    """
    if address.startswith("unix:"):
        return Peer(address, None)
    uris = list(auth_context.get(_URI_NAMES, ()))
    if len(uris) != 1:
        return None
    spiffe_id = uris[0].decode("ascii", "replace")
    if not spiffe_id.startswith(_SPIFFE_SCHEME):
        return None
    try:
        certificate = x509.load_pem_x509_certificate(b"".join(auth_context.get(_CERTIFICATE, ())))
    except ValueError:
        return Peer(address, spiffe_id)
    return Peer(address, spiffe_id, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
