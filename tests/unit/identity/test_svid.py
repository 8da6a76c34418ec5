from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.fakes.odd_certificates import of_unknown_curve, of_unknown_version

from tulle.identity import ca
from tulle.identity.errors import InvalidCertificate
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.svid import certified, from_pem, identity_of, to_pem
from tulle.model.names import SpiffeId

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CART = SpiffeId("mesh.local", "shop", "cart")
AUTHORITY = ca.new_authority("mesh.local", NOW)
OTHER = ca.new_authority("mesh.local", NOW)
KEY = new_key()
CHAIN = ca.pem(ca.sign(signing_request(KEY), CART, NOW, HOUR, AUTHORITY))


def test_a_fitting_certificate_becomes_an_svid():
    svid = certified(KEY, CHAIN, CART, OTHER.bundle_pem + AUTHORITY.bundle_pem)
    assert (svid.not_before, svid.not_after) == (NOW - timedelta(seconds=10), NOW + HOUR)
    assert from_pem(to_pem(svid), CART, AUTHORITY.bundle_pem) == svid


@pytest.mark.parametrize(
    ("key", "chain", "identity", "bundle", "message"),
    [
        (new_key(), CHAIN, CART, AUTHORITY.bundle_pem, "another key"),
        (KEY, CHAIN, SpiffeId("mesh.local", "shop", "web"), AUTHORITY.bundle_pem, "not that of"),
        (KEY, CHAIN, NodeIdentity("mesh.local", "n1"), AUTHORITY.bundle_pem, "not that of"),
        (KEY, CHAIN, CART, OTHER.bundle_pem, "nobody in the trust bundle"),
        (KEY, CHAIN + OTHER.bundle_pem, CART, OTHER.bundle_pem, "do not follow"),
        (KEY, "", CART, AUTHORITY.bundle_pem, "not PEM"),
        (KEY, CHAIN, CART, "", "not PEM"),
        (KEY, of_unknown_version(CHAIN), CART, AUTHORITY.bundle_pem, "not PEM"),
        (KEY, of_unknown_curve(CHAIN), CART, AUTHORITY.bundle_pem, "cannot be read"),
        (KEY, CHAIN, CART, of_unknown_curve(OTHER.bundle_pem), "nobody in the trust bundle"),
    ],
)
def test_what_does_not_fit_is_refused(key, chain, identity, bundle, message):
    with pytest.raises(InvalidCertificate, match=message):
        certified(key, chain, identity, bundle)


def test_a_chain_may_end_with_the_root():
    assert certified(KEY, CHAIN + AUTHORITY.bundle_pem, CART, AUTHORITY.bundle_pem).identity == CART


@pytest.mark.parametrize("uris", [[], [str(CART), str(CART)], [str(CART), "https://a"], ["https://a"], ["spiffe://a"]])
def test_a_certificate_needs_exactly_one_identity(uris: list[str]):
    name = x509.Name([])
    names = x509.SubjectAlternativeName([x509.DNSName("a"), *map(x509.UniformResourceIdentifier, uris)])
    certificate = (
        x509.CertificateBuilder(name, name, KEY.public_key(), 1, NOW, NOW + HOUR)
        .add_extension(names, critical=False)
        .sign(KEY, hashes.SHA256())
    )
    with pytest.raises(InvalidCertificate, match="exactly one"):
        identity_of(certificate)


@pytest.mark.parametrize("content", [b"", b"x", to_pem(certified(KEY, CHAIN, CART, AUTHORITY.bundle_pem))[:-40]])
def test_a_damaged_file_is_refused(content: bytes):
    with pytest.raises(InvalidCertificate):
        from_pem(content, CART, AUTHORITY.bundle_pem)
