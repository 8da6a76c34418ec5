"""A certificate with its key, checked before anybody uses it.

The same for a workload, a node and the control plane: what came from the network or from a file becomes an `Svid` only
if the key, the identity and the issuer are the expected ones. Source: X509-SVID specification.
"""

from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from msgspec import Struct

from tulle.identity.errors import InvalidCertificate, InvalidSpiffeId
from tulle.identity.keypair import UNREADABLE, key_pem, load_key
from tulle.identity.secret import Secret
from tulle.identity.spiffe_id import Identity, parse

_KEY_END = b"-----END PRIVATE KEY-----\n"


class Svid(Struct, frozen=True):
    """`key` and `chain_pem` (leaf first) are PEM."""

    identity: Identity
    key: Secret
    chain_pem: str
    not_before: datetime
    not_after: datetime


def certified(key: ec.EllipticCurvePrivateKey, chain_pem: str, identity: Identity, bundle_pem: str) -> Svid:
    """The Svid of `key` and its certificate. Raises InvalidCertificate unless the certificate is for that key, has
    that identity and no other, and was issued by a root in `bundle_pem`. Whether it is in time is the user's to ask."""
    chain, roots = _certificates(chain_pem), _certificates(bundle_pem)
    leaf = chain[0]
    if _public_key(leaf) != key.public_key():
        raise InvalidCertificate("the certificate is for another key")
    if identity_of(leaf) != identity:
        raise InvalidCertificate(f"the certificate is not that of {identity}")
    if not any(_issued(chain[-1], root) for root in roots):
        raise InvalidCertificate("the certificate was issued by nobody in the trust bundle")
    if not all(_issued(child, parent) for child, parent in pairwise(chain)):
        raise InvalidCertificate("the certificates of the chain do not follow from each other")
    return Svid(identity, key_pem(key), chain_pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def identity_of(certificate: x509.Certificate) -> Identity:
    """The identity in the one URI name of a certificate. Raises InvalidCertificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse(uri)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, InvalidSpiffeId) as error:
        raise InvalidCertificate("a certificate needs exactly one SPIFFE ID") from error


def to_pem(svid: Svid) -> bytes:
    """Key and chain as one file, so that a crash never leaves one without the other."""
    return svid.key.reveal() + svid.chain_pem.encode()


def from_pem(content: bytes, identity: Identity, bundle_pem: str) -> Svid:
    """What `to_pem` wrote, checked like `certified`."""
    key, end, chain = content.partition(_KEY_END)
    return certified(load_key(Secret(key + end)), chain.decode("ascii", "replace"), identity, bundle_pem)


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except UNREADABLE as error:
        raise InvalidCertificate("not PEM certificates") from error


def _public_key(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except UNREADABLE as error:
        raise InvalidCertificate("the certificate's key cannot be read") from error


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True
