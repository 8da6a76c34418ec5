"""Who is at the other end, from what the transport proved."""

import pytest

from tulle.stream.peer import Peer, peer_of

ALICE = b"spiffe://example.org/tulle/node/a"


def test_a_unix_socket_is_a_local_process() -> None:
    assert peer_of("unix:/run/x.sock", {}) == Peer("unix:/run/x.sock", None)


def test_a_dns_name_that_looks_like_a_spiffe_id_proves_nothing() -> None:
    context = {"x509_subject_alternative_name": [ALICE], "peer_dns": [ALICE]}
    assert peer_of("ipv4:127.0.0.1:1", context) is None


def test_a_certificate_with_one_spiffe_id_is_its_holder() -> None:
    assert peer_of("ipv4:127.0.0.1:1", {"peer_uri": [ALICE]}) == Peer("ipv4:127.0.0.1:1", ALICE.decode())


def test_a_certificate_that_cannot_be_read_ends_at_no_known_time() -> None:
    peer = peer_of("ipv4:127.0.0.1:1", {"peer_uri": [ALICE], "x509_pem_cert": [b"nonsense"]})
    assert peer == Peer("ipv4:127.0.0.1:1", ALICE.decode(), None)


@pytest.mark.parametrize("uris", [[], [ALICE, b"spiffe://example.org/b"], [ALICE, ALICE], [b"https://example.org"]])
def test_anything_else_is_nobody(uris: list[bytes]) -> None:
    assert peer_of("ipv4:127.0.0.1:1", {"peer_uri": uris}) is None
