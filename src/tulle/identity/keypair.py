"""Makes private keys and the requests for their certificates.

The request proves possession of the key and says nothing else: names in it would be ignored.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tulle.identity.errors import InvalidCertificate
from tulle.identity.secret import Secret

# What the library raises for keys, requests and certificates that it cannot read: anybody may send them.
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)

# Curves that TLS 1.3 and Envoy take, P-256 or better.
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def load_key(pem: Secret) -> ec.EllipticCurvePrivateKey:
    """Raises InvalidCertificate, without saying what was in `pem`."""
    try:
        key = serialization.load_pem_private_key(pem.reveal(), None)
    except UNREADABLE:
        raise InvalidCertificate("not a PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, _CURVES):
        raise InvalidCertificate("not an elliptic curve key of P-256 or better")
    return key


def signing_request(key: ec.EllipticCurvePrivateKey) -> str:
    """A PKCS #10 request as PEM, without a subject."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode("ascii")


def requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The public key of a signing request, the only thing in it that counts. Raises InvalidCertificate unless the
    requester has the private key and it is P-256 or better."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        possessed = csr.is_signature_valid
    except UNREADABLE as error:
        raise InvalidCertificate("not a PEM certificate signing request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise InvalidCertificate("the signing request's key is not on P-256 or better")
    if not possessed:
        raise InvalidCertificate("the signing request is not signed by its own key")
    return key
