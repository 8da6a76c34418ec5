import pytest

from tulle.identity.errors import Denied
from tulle.identity.peer import node_peer
from tulle.identity.spiffe_id import NodeIdentity

N1 = b"spiffe://mesh.local/tulle/node/n1"


def test_a_node_is_known_by_its_uri_name():
    assert node_peer({"peer_uri": [N1]}, "mesh.local") == NodeIdentity("mesh.local", "n1")


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [N1, N1],
        [N1, b"spiffe://mesh.local/tulle/node/n2"],
        [N1, b"https://example.com"],
        [b"spiffe://other.local/tulle/node/n1"],
        [b"spiffe://mesh.local/ns/shop/sa/cart"],
        [b"spiffe://mesh.local/tulle/control-plane"],
        [b"spiffe://mesh.local"],
        [b"spiffe://mesh.local/tulle/node/n1\x00"],
        [b"\xff"],
    ],
)
def test_everybody_else_is_refused(uris: list[bytes]):
    with pytest.raises(Denied):
        node_peer({"peer_uri": uris}, "mesh.local")


def test_a_connection_without_tls_is_refused():
    with pytest.raises(Denied):
        node_peer({}, "mesh.local")
