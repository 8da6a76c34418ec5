import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.odd_certificates import of_unknown_curve, of_unknown_version

from tulle.identity import ca
from tulle.identity.errors import InvalidCertificate, InvalidSpiffeId, UnsafeFile
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.spiffe_id import ControlPlaneIdentity, Identity, NodeIdentity
from tulle.identity.svid import identity_of
from tulle.model.names import SpiffeId

NOW = datetime(2026, 5, 4, 12, 30, 15, 700, tzinfo=UTC)
DAY = timedelta(days=1)
CART = SpiffeId("mesh.local", "shop", "cart")
AUTHORITY = ca.new_authority("mesh.local", NOW - DAY)


def pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def sign(lifetime: timedelta = DAY, csr: str | None = None) -> x509.Certificate:
    return ca.sign(csr or signing_request(new_key()), CART, NOW, lifetime, AUTHORITY)


def names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


@pytest.fixture(params=[0, 0o022, 0o777])
def umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_certificate_has_the_profile_of_a_leaf():
    key = new_key()
    certificate = ca.sign(signing_request(key), CART, NOW, DAY, AUTHORITY)
    extensions = certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert certificate.public_key() == key.public_key()
    assert names(certificate) == [x509.UniformResourceIdentifier("spiffe://mesh.local/ns/shop/sa/cart")]
    assert usage.critical and usage.value.digital_signature
    assert not usage.value.key_cert_sign and not usage.value.crl_sign
    assert constraints.critical and not constraints.value.ca
    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    }
    assert certificate.serial_number.bit_length() > 100


def test_a_certificate_verifies_as_a_client():
    verifier = PolicyBuilder().store(Store([AUTHORITY.certificate])).time(NOW).build_client_verifier()
    assert verifier.verify(sign(), []).subjects == [x509.UniformResourceIdentifier(str(CART))]


def test_the_control_plane_verifies_as_a_server_by_its_dns_name():
    certificate = ca.server_certificate(AUTHORITY, NOW)
    leaf, root = x509.load_pem_x509_certificates(certificate.chain_pem.encode())
    verifier = (
        PolicyBuilder()
        .store(Store([AUTHORITY.certificate]))
        .time(NOW)
        .build_server_verifier(x509.DNSName("tulle-control-plane"))
    )
    assert verifier.verify(leaf, [])[0] == leaf
    assert ca.pin(root) == AUTHORITY.pin
    assert leaf.not_valid_after_utc == root.not_valid_after_utc
    assert names(leaf) == [
        x509.UniformResourceIdentifier("spiffe://mesh.local/tulle/control-plane"),
        x509.DNSName("tulle-control-plane"),
    ]


def test_nobody_else_gets_the_control_planes_dns_name():
    certificate = ca.sign(signing_request(new_key()), NodeIdentity("mesh.local", "n1"), NOW, DAY, AUTHORITY)
    assert names(certificate) == [x509.UniformResourceIdentifier("spiffe://mesh.local/tulle/node/n1")]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (timedelta(minutes=5), timedelta(minutes=5)),
        (DAY, DAY),
        (timedelta(days=4000), DAY),
    ],
)
def test_lifetimes_are_clamped(asked: timedelta, given: timedelta):
    certificate = sign(asked)
    second = NOW.replace(microsecond=0)
    assert certificate.not_valid_before_utc == second - timedelta(seconds=10)
    assert certificate.not_valid_after_utc == second + given


def test_a_certificate_ends_no_later_than_its_issuer():
    end = AUTHORITY.certificate.not_valid_after_utc
    late = end - timedelta(hours=1)
    assert ca.sign(signing_request(new_key()), CART, late, DAY, AUTHORITY).not_valid_after_utc == end
    with pytest.raises(InvalidCertificate, match="would end"):
        ca.sign(signing_request(new_key()), CART, end, DAY, AUTHORITY)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-5)])
def test_a_lifetime_of_nothing_is_refused(lifetime: timedelta):
    with pytest.raises(InvalidCertificate):
        sign(lifetime)


def test_what_a_request_asks_for_is_ignored():
    wishes = [
        x509.UniformResourceIdentifier("spiffe://mesh.local/tulle/control-plane"),
        x509.DNSName("tulle-control-plane"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
    ]
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tulle-control-plane")]))
        .add_extension(x509.SubjectAlternativeName(wishes), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .sign(new_key(), hashes.SHA256())
    )
    certificate = sign(csr=pem(csr))
    assert names(certificate) == [x509.UniformResourceIdentifier(str(CART))]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "tulle-control-plane" not in certificate.subject.rfc4514_string()


_SEGMENTS = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)
_KEY = new_key()


@given(
    identity=st.one_of(
        st.builds(SpiffeId, st.just("mesh.local"), _SEGMENTS, _SEGMENTS),
        st.builds(NodeIdentity, st.just("mesh.local"), _SEGMENTS),
        st.just(ControlPlaneIdentity("mesh.local")),
    ),
    wishes=st.lists(st.builds(SpiffeId, st.just("mesh.local"), _SEGMENTS, _SEGMENTS), max_size=3),
)
def test_every_certificate_has_one_spiffe_id_whatever_the_request_says(identity: Identity, wishes: list[SpiffeId]):
    """Proxies let a certificate of ours with two of them pass as either: docs/decisions/012."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if wishes:
        asked = [x509.UniformResourceIdentifier(str(wish)) for wish in wishes]
        builder = builder.add_extension(x509.SubjectAlternativeName(asked), critical=False)
    certificate = ca.sign(pem(builder.sign(_KEY, hashes.SHA256())), identity, NOW, DAY, AUTHORITY)
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == [str(identity)]
    assert identity_of(certificate) == identity


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "p-192", "secp256k1", "ed25519"],
)
def test_keys_that_are_not_p256_or_better_are_refused(key: rsa.RSAPrivateKey):
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    with pytest.raises(InvalidCertificate, match="P-256"):
        sign(csr=pem(csr))


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_better_curves_are_taken(curve: ec.EllipticCurve):
    assert sign(csr=signing_request(ec.generate_private_key(curve))).public_key()


def test_a_request_signed_by_another_key_is_refused():
    der = bytearray(
        x509.load_pem_x509_csr(signing_request(new_key()).encode()).public_bytes(serialization.Encoding.DER)
    )
    der[-1] ^= 1
    with pytest.raises(InvalidCertificate):
        sign(csr=pem(x509.load_der_x509_csr(bytes(der))))


@pytest.mark.parametrize(
    "csr",
    [
        "",
        "x",
        "\ud800",
        "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
        of_unknown_version(signing_request(new_key())),
        of_unknown_curve(signing_request(new_key())),
    ],
)
def test_what_is_no_request_is_refused(csr: str):
    with pytest.raises(InvalidCertificate):
        ca.sign(csr, CART, NOW, DAY, AUTHORITY)


def test_another_trust_domain_is_refused():
    with pytest.raises(InvalidCertificate, match="does not issue"):
        ca.sign(signing_request(new_key()), SpiffeId("other", "shop", "cart"), NOW, DAY, AUTHORITY)


@pytest.mark.parametrize("node", ["", "..", "a/../control-plane", "a b", "n\n"])
def test_an_identity_that_would_be_another_one_is_refused(node: str):
    with pytest.raises(InvalidSpiffeId):
        ca.sign(signing_request(new_key()), NodeIdentity("mesh.local", node), NOW, DAY, AUTHORITY)


def test_the_directory_is_private_whatever_the_umask(tmp_path: Path, umask: None):
    directory = tmp_path / "state" / "control"
    made = ca.open_authority(directory, "mesh.local", NOW)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (directory.parent, directory, *directory.iterdir())}
    assert modes == {"state": 0o700, "control": 0o700, "ca.key": 0o600, "ca.pem": 0o600}
    again = ca.open_authority(directory, "mesh.local", NOW + DAY)
    assert again.certificate == made.certificate and again.pin == made.pin


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    directory = tmp_path / "control"
    ca.open_authority(directory, "mesh.local", NOW)
    (directory / "ca.key").chmod(mode)
    with pytest.raises(UnsafeFile, match=r"ca\.key"):
        ca.open_authority(directory, "mesh.local", NOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path):
    directory = tmp_path / "control"
    ca.open_authority(directory, "mesh.local", NOW)
    os.chown(directory / "ca.key", 12345, -1)
    with pytest.raises(UnsafeFile, match="belongs to user 12345"):
        ca.open_authority(directory, "mesh.local", NOW)


def test_a_directory_open_to_others_is_refused_and_left_as_it_is(tmp_path: Path):
    directory = tmp_path / "control"
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(UnsafeFile, match="chmod 700"):
        ca.open_authority(directory, "mesh.local", NOW)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_linked_key_is_refused(tmp_path: Path):
    directory = tmp_path / "control"
    ca.open_authority(directory, "mesh.local", NOW)
    (directory / "ca.key").rename(directory / "elsewhere")
    (directory / "ca.key").symlink_to("elsewhere")
    with pytest.raises(UnsafeFile):
        ca.open_authority(directory, "mesh.local", NOW)


def test_a_ca_that_does_not_fit_is_refused(tmp_path: Path):
    directory = tmp_path / "control"
    ca.open_authority(directory, "mesh.local", NOW)
    with pytest.raises(InvalidCertificate, match="trust domain"):
        ca.open_authority(directory, "other.local", NOW)
    with pytest.raises(InvalidCertificate, match="valid from"):
        ca.open_authority(directory, "mesh.local", NOW + timedelta(days=4000))
    (directory / "ca.pem").write_text(ca.new_authority("mesh.local", NOW).bundle_pem)
    with pytest.raises(InvalidCertificate, match="belong together"):
        ca.open_authority(directory, "mesh.local", NOW)
    (directory / "ca.pem").write_text("nothing")
    with pytest.raises(InvalidCertificate, match="not the certificate"):
        ca.open_authority(directory, "mesh.local", NOW)


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path):
    directory = tmp_path / "control"
    ca.open_authority(directory, "mesh.local", NOW)
    (directory / "ca.key").unlink()
    with pytest.raises(InvalidCertificate, match=r"ca\.key"):
        ca.open_authority(directory, "mesh.local", NOW)


def test_a_lost_certificate_is_made_again_with_the_same_pin(tmp_path: Path):
    directory = tmp_path / "control"
    made = ca.open_authority(directory, "mesh.local", NOW)
    (directory / "ca.pem").unlink()
    assert ca.open_authority(directory, "mesh.local", NOW).pin == made.pin
