"""The mesh's certificate authority: a P-256 root in a directory, and the signing of certificates.

Only the public key is taken from a signing request; the identity is the one that the caller authenticated. Profile:
RFC 5280 and the X509-SVID specification.
"""

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from tulle.identity.errors import InvalidCertificate
from tulle.identity.keypair import UNREADABLE, key_pem, load_key, new_key, requested_key
from tulle.identity.private_file import create_private, make_private_directory, read_private
from tulle.identity.secret import Secret
from tulle.identity.spiffe_id import ControlPlaneIdentity, Identity, check_trust_domain, checked

CONTROL_PLANE_DNS_NAME = "tulle-control-plane"
MAX_LIFETIME = timedelta(hours=24)
BACK_DATED = timedelta(seconds=10)  # for hosts whose clocks are a little behind
ROOT_LIFETIME = timedelta(days=3650)

KEY_FILE = "ca.key"
CERTIFICATE_FILE = "ca.pem"


class Authority(Struct, frozen=True):
    """A root certificate with its key."""

    trust_domain: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def bundle_pem(self) -> str:
        """The roots to trust, as PEM."""
        return pem(self.certificate)

    @property
    def pin(self) -> str:
        return pin(self.certificate)


class ServerCertificate(Struct, frozen=True):
    """What a control-plane listener presents. `chain_pem` ends with the root, so that an agent which has only the
    root's pin can find it there."""

    key: Secret
    chain_pem: str
    bundle_pem: str


def open_authority(directory: Path, trust_domain: str, now: datetime) -> Authority:
    """The authority kept in `directory`, made there the first time. Raises UnsafeFile if others can read its key,
    InvalidCertificate if it is expired, damaged or another trust domain's."""
    make_private_directory(directory)
    key_path, certificate_path = directory / KEY_FILE, directory / CERTIFICATE_FILE
    if not key_path.exists():
        if certificate_path.exists():
            raise InvalidCertificate(f"{certificate_path} is there but its key {key_path} is not")
        _create(key_path, key_pem(new_key()).reveal())
    key = load_key(Secret(read_private(key_path)))
    # A process that died between the two writes left a key without a certificate, which nobody has trusted yet.
    if not certificate_path.exists():
        _create(certificate_path, pem(_self_signed(key, trust_domain, now)).encode())
    try:
        certificate = x509.load_pem_x509_certificate(read_private(certificate_path))
        _check_root(certificate, key, trust_domain, now)
    except (*UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise InvalidCertificate(f"{certificate_path} is not the certificate of a CA") from error
    return Authority(trust_domain, certificate, key)


def new_authority(trust_domain: str, now: datetime) -> Authority:
    """An authority that is kept nowhere."""
    key = new_key()
    return Authority(trust_domain, _self_signed(key, trust_domain, now), key)


def sign(csr_pem: str, identity: Identity, now: datetime, lifetime: timedelta, issuer: Authority) -> x509.Certificate:
    """A certificate for the key in `csr_pem` with `identity`, whatever else the request says.

    It lasts for `lifetime`, at most MAX_LIFETIME and never beyond the issuer's end. Raises InvalidCertificate for a
    bad request or an issuer that has ended, InvalidSpiffeId for an identity that has no text.
    """
    end = now.replace(microsecond=0) + min(lifetime, MAX_LIFETIME)
    return _issued(requested_key(csr_pem), identity, now, end, issuer)


def server_certificate(issuer: Authority, now: datetime) -> ServerCertificate:
    """A new key and certificate for the control plane's listeners.

    It lasts as long as the issuer: its key is only in the memory of a process that has the issuer's key too, so who
    could steal it has no need of it, and gRPC cannot replace a listener's certificate without the risk of a
    crash (grpc/grpc issue 36693).
    """
    key = new_key()
    identity = ControlPlaneIdentity(issuer.trust_domain)
    leaf = _issued(key.public_key(), identity, now, issuer.certificate.not_valid_after_utc, issuer)
    return ServerCertificate(key_pem(key), pem(leaf) + pem(issuer.certificate), issuer.bundle_pem)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def pin(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo) in hexadecimal, as RFC 7469 has it: it stays the same when a
    root is issued again with its key."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def _create(path: Path, content: bytes) -> None:
    with suppress(FileExistsError):  # another process that started at the same time made it: that one is used
        create_private(path, content)


def _issued(
    key: ec.EllipticCurvePublicKey, identity: Identity, now: datetime, end: datetime, issuer: Authority
) -> x509.Certificate:
    checked(identity)
    if identity.trust_domain != issuer.trust_domain:
        raise InvalidCertificate(f"{issuer.trust_domain} does not issue for {identity.trust_domain}")
    root = issuer.certificate
    start = max(now.replace(microsecond=0) - BACK_DATED, root.not_valid_before_utc)
    end = min(end, root.not_valid_after_utc)
    if end <= now:
        raise InvalidCertificate("the certificate would end before it starts")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(identity))]
    if isinstance(identity, ControlPlaneIdentity):
        names.append(x509.DNSName(CONTROL_PLANE_DNS_NAME))
    root_key_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tulle")]))
        .issuer_name(root.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_key_id), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def _self_signed(key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime) -> x509.Certificate:
    check_trust_domain(trust_domain)
    start = now.replace(microsecond=0)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tulle"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Tulle root CA"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACK_DATED)
        .not_valid_after(start + ROOT_LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _check_root(root: x509.Certificate, key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime) -> None:
    if root.public_key() != key.public_key():
        raise InvalidCertificate("the CA's certificate and key do not belong together")
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [f"spiffe://{trust_domain}"]:
        raise InvalidCertificate(f"the CA is not that of the trust domain {trust_domain}")
    if not root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise InvalidCertificate("the CA's certificate is not one of a CA")
    if not root.not_valid_before_utc <= now < root.not_valid_after_utc:
        raise InvalidCertificate(f"the CA is valid from {root.not_valid_before_utc} to {root.not_valid_after_utc}")
