from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tulle.identity import ca
from tulle.identity.errors import Denied, InvalidCertificate
from tulle.identity.issuer import Issuer, RegisteredWorkload
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.messages import AttestRequest, IssueRequest, RenewRequest
from tulle.identity.secret import Secret
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import FileTokenBook, new_token, parse_rule
from tulle.model.names import SpiffeId, WorkloadName

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CART = SpiffeId("mesh.local", "shop", "cart")
CSR = signing_request(new_key())
N1 = NodeIdentity("mesh.local", "n1")


class Everywhere:
    """Every name is a workload with CART's identity on n1."""

    async def workload(self, name: WorkloadName) -> RegisteredWorkload | None:
        return RegisteredWorkload("n1", CART)


class World:
    def __init__(self, directory: Path) -> None:
        self.authority = ca.new_authority("mesh.local", NOW)
        self.book = FileTokenBook(directory / "control" / "tokens.json")
        self.issuer = Issuer(self.authority, self.book, Everywhere(), lambda: NOW, HOUR)

    async def token(self) -> Secret:
        token, ticket = new_token("n1", (parse_rule("shop/cart"),), NOW + HOUR, self.authority.pin)
        await self.book.add(ticket, NOW)
        return token.text


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(("csr", "error"), [("", InvalidCertificate), ("x", InvalidCertificate)])
async def test_a_request_that_cannot_be_answered_does_not_use_up_the_token(world: World, csr, error):
    token = await world.token()
    with pytest.raises(error):
        await world.issuer.attest(AttestRequest(token, "n1", csr))
    await world.issuer.attest(AttestRequest(token, "n1", CSR))


@pytest.mark.parametrize("node", ["", "n1/../n2", "../control-plane", "n1\n"])
async def test_a_node_without_a_proper_name_is_refused(world: World, node: str):
    with pytest.raises(Denied):
        await world.issuer.attest(AttestRequest(await world.token(), node, CSR))


async def test_the_text_of_a_bad_token_is_not_repeated(world: World):
    with pytest.raises(Denied) as caught:
        await world.issuer.attest(AttestRequest(Secret(b"tulle1.secret"), "n1", CSR))
    assert "secret>" in str(caught.value) and "tulle1.secret" not in str(caught.value)


async def test_certificates_last_as_long_as_the_mesh_says(world: World):
    attested = await world.issuer.attest(AttestRequest(await world.token(), "n1", CSR))
    renewed = await world.issuer.renew(N1, RenewRequest(CSR))
    issued = await world.issuer.issue(N1, IssueRequest("shop", "cart-1", CSR))
    for reply in (attested, renewed, issued):
        assert x509.load_pem_x509_certificate(reply.chain_pem.encode()).not_valid_after_utc == NOW + HOUR


async def test_a_node_that_never_enrolled_gets_nothing(world: World):
    with pytest.raises(Denied, match="not enrolled"):
        await world.issuer.renew(N1, RenewRequest(CSR))
    with pytest.raises(Denied, match="may not run"):
        await world.issuer.issue(N1, IssueRequest("shop", "cart-1", CSR))


async def test_a_nodes_token_says_what_it_may_run(world: World):
    assert not await world.issuer.may_run("n1", "shop", "cart")
    await world.issuer.attest(AttestRequest(await world.token(), "n1", CSR))
    assert await world.issuer.may_run("n1", "shop", "cart")
    assert not await world.issuer.may_run("n1", "shop", "web")
    assert not await world.issuer.may_run("n2", "shop", "cart")
