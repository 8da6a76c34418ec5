"""Certificates that should not be let in, made with the key of the mesh's authority or without, and TLS with them."""

import contextlib
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MESH = "spiffe://tulle.local/ns/shop/sa/alice"
DAY = timedelta(days=1)


class Pair:
    """A certificate with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate, self.key = certificate, key

    @property
    def pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


def load(key: Path, certificate: Path) -> Pair:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), private)


def made(
    issuer: Pair | None,
    uris: Sequence[str] = (MESH,),
    start: timedelta = -DAY,
    end: timedelta = DAY,
    is_ca: bool = False,
    dns: Sequence[str] = (),
) -> Pair:
    """A certificate from `issuer`, or one that signs itself. `start` and `end` are from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tulle root CA" if is_ca else "impostor")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@contextlib.contextmanager
def _file(pair: Pair) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:  # 0600
        file.write(pair.pem)
        file.flush()
        yield file.name


def client(pair: Pair | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Shows `pair` to a server, and takes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if pair is not None:
        with _file(pair) as name:
            context.load_cert_chain(name)
    return context


def server(pair: Pair, authority: Pair) -> ssl.SSLContext:
    """Shows `pair`, and wants a certificate from `authority`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate.public_bytes(serialization.Encoding.PEM).decode())
    with _file(pair) as name:
        context.load_cert_chain(name)
    return context
