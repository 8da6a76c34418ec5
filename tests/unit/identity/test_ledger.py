from datetime import UTC, datetime, timedelta

from tulle.identity.ledger import Issued, Ledger
from tulle.model.names import SpiffeId

START = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEB, CART = SpiffeId("mesh.local", "shop", "web"), SpiffeId("mesh.local", "shop", "cart")


def issued(identity: SpiffeId, after: int, node: str = "n1") -> Issued:
    return Issued(node, identity, START + after * HOUR, START + (after + 24) * HOUR)


def test_the_last_of_each_identity_is_known_by_node():
    ledger = Ledger()
    for certificate in (issued(WEB, 0), issued(CART, 1), issued(WEB, 12), issued(WEB, 0, "n2")):
        ledger.issued(certificate)
    assert ledger.of("n1") == {WEB: issued(WEB, 12), CART: issued(CART, 1)}
    assert ledger.of("n2") == {WEB: issued(WEB, 0, "n2")}
    assert ledger.of("n3") == {}


def test_what_has_ended_is_kept_until_something_newer_comes_for_the_node():
    ledger = Ledger()
    ledger.issued(issued(WEB, 0))
    ledger.issued(issued(CART, 30))
    assert ledger.of("n1") == {CART: issued(CART, 30)}


def test_a_refusal_lasts_until_there_is_a_certificate():
    ledger = Ledger()
    ledger.refused("n1", WEB, "no")
    ledger.refused("n1", CART, "no")
    ledger.issued(issued(WEB, 0))
    assert ledger.refusals("n1") == {CART: "no"}


def test_of_a_node_that_is_forgotten_nothing_is_known():
    ledger = Ledger()
    ledger.issued(issued(WEB, 0))
    ledger.refused("n1", CART, "no")
    ledger.forget("n1")
    assert ledger.of("n1") == ledger.refusals("n1") == {}
