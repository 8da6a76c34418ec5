import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tulle.identity.errors import InvalidCertificate
from tulle.identity.keypair import key_pem, load_key, new_key, requested_key, signing_request
from tulle.identity.secret import Secret


def test_a_key_is_read_as_it_was_written():
    key = new_key()
    assert load_key(key_pem(key)).private_numbers() == key.private_numbers()
    assert isinstance(key.curve, ec.SECP256R1)


def test_a_signing_request_says_nothing_but_the_key():
    key = new_key()
    csr = x509.load_pem_x509_csr(signing_request(key).encode())
    assert list(csr.subject) == [] and list(csr.extensions) == []
    assert requested_key(signing_request(key)) == key.public_key()


def test_what_is_no_key_is_refused_and_not_shown():
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"hunter2", key_pem(new_key()).reveal()[:-60], other):
        with pytest.raises(InvalidCertificate) as caught:
            load_key(Secret(content))
        assert caught.value.__cause__ is None and "hunter2" not in str(caught.value)
