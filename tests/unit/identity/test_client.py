"""Enrolment and the Node service over real gRPC."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tulle.identity import ca, client
from tulle.identity.client import NodeClient, NodeCredentials, enrol, mtls_channel
from tulle.identity.errors import Denied, InvalidCertificate, Unavailable, UnsafeFile, Untrusted
from tulle.identity.issuer import RegisteredWorkload
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.messages import ReportRequest
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.svid import identity_of
from tulle.identity.tokens import JoinToken
from tulle.model.names import SpiffeId, WorkloadName

CART = SpiffeId("mesh.local", "shop", "cart")
CART_1 = WorkloadName("shop", "cart-1")
N1 = NodeIdentity("mesh.local", "n1")


class Counting(grpc.aio.ServerInterceptor):
    """Counts the calls that reach a server: none means that it was told nothing."""

    def __init__(self) -> None:
        self.calls = 0

    async def intercept_service(self, continuation, details):
        self.calls += 1
        return await continuation(details)


async def test_a_node_enrols_with_a_token(control_plane):
    credentials = await enrol(await control_plane.token(), control_plane.enrolment, "n1")
    leaf = x509.load_pem_x509_certificate(credentials.svid.chain_pem.encode())
    assert identity_of(leaf) == credentials.node == N1
    assert credentials.bundle_pem == control_plane.authority.bundle_pem
    verifier = (
        x509.verification.PolicyBuilder()
        .store(x509.verification.Store([control_plane.authority.certificate]))
        .build_client_verifier()
    )
    assert verifier.verify(leaf, []).subjects == [x509.UniformResourceIdentifier(str(N1))]


async def test_a_token_works_once(control_plane):
    token = await control_plane.token()
    await enrol(token, control_plane.enrolment, "n1")
    with pytest.raises(Denied, match="used before"):
        await enrol(token, control_plane.enrolment, "n1")


async def test_of_20_uses_at_once_one_succeeds(control_plane):
    token = await control_plane.token()
    tries = (enrol(token, control_plane.enrolment, "n1") for _ in range(20))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, NodeCredentials) for result in results) == 1
    assert sum(isinstance(result, Denied) and "used before" in str(result) for result in results) == 19


async def test_an_expired_token_is_refused(control_plane):
    token = await control_plane.token(life=timedelta(minutes=1))
    control_plane.clock.now += timedelta(minutes=1)
    with pytest.raises(Denied, match="expired"):
        await enrol(token, control_plane.enrolment, "n1")


async def test_a_token_of_another_node_is_refused_and_stays_good(control_plane):
    token = await control_plane.token("n2")
    with pytest.raises(Denied, match="another node"):
        await enrol(token, control_plane.enrolment, "n1")
    assert (await enrol(token, control_plane.enrolment, "n2")).node.node == "n2"


async def test_a_wrong_secret_is_refused_and_the_token_stays_good(control_plane):
    token = await control_plane.token()
    guess = msgspec.structs.replace(token, secret=(await control_plane.token("n2")).secret)
    with pytest.raises(Denied, match="not known"):
        await enrol(guess, control_plane.enrolment, "n1")
    await enrol(token, control_plane.enrolment, "n1")


async def test_a_wrong_pin_is_refused_before_the_token_is_sent(control_plane):
    token = await control_plane.token()
    other = ca.new_authority("mesh.local", control_plane.clock())
    wrong = JoinToken(token.id, token.secret, other.pin)
    with pytest.raises(Untrusted, match="was not sent"):
        await enrol(wrong, control_plane.enrolment, "n1")
    await enrol(token, control_plane.enrolment, "n1")  # nobody has used it


async def test_a_stranger_who_shows_the_right_root_gets_no_token(control_plane):
    """The root is public: a man in the middle can put it after a certificate of his own."""
    stranger = ca.new_authority("mesh.local", control_plane.clock())
    mine = ca.server_certificate(stranger, control_plane.clock())
    leaf = mine.chain_pem.partition("-----END CERTIFICATE-----\n")
    chain = leaf[0] + leaf[1] + control_plane.authority.bundle_pem
    counting = Counting()
    server = grpc.aio.server(interceptors=[counting])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(mine.key.reveal(), chain.encode())]))
    await server.start()
    try:
        with pytest.raises(Unavailable):
            await enrol(await control_plane.token(), f"127.0.0.1:{port}", "n1", timedelta(seconds=5))
    finally:
        await server.stop(None)
    assert counting.calls == 0


async def test_a_node_is_no_control_plane(control_plane):
    """A certificate of this mesh without the control plane's name does not attract tokens either."""
    node = await enrol(await control_plane.token(), control_plane.enrolment, "n1")
    chain = node.svid.chain_pem + control_plane.authority.bundle_pem
    counting = Counting()
    server = grpc.aio.server(interceptors=[counting])
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(node.svid.key.reveal(), chain.encode())])
    )
    await server.start()
    try:
        with pytest.raises(Unavailable):
            await enrol(await control_plane.token("n2"), f"127.0.0.1:{port}", "n2", timedelta(seconds=5))
    finally:
        await server.stop(None)
    assert counting.calls == 0


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "[::1]:1"])
async def test_no_control_plane_is_unavailable(control_plane, address):
    with pytest.raises(Unavailable):
        await enrol(await control_plane.token(), address, "n1", timedelta(seconds=5))


async def enrolled(control_plane, node: str = "n1", rules: tuple[str, ...] = ("shop/*",)) -> NodeCredentials:
    return await enrol(await control_plane.token(node, rules), control_plane.enrolment, node)


async def test_a_node_gets_the_identity_of_a_workload_on_it(control_plane):
    credentials = await enrolled(control_plane)
    control_plane.directory.workloads[CART_1] = RegisteredWorkload("n1", CART)
    key = new_key()
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        reply = await NodeClient(channel).issue(CART_1, signing_request(key))
    leaf = x509.load_pem_x509_certificate(reply.chain_pem.encode())
    assert identity_of(leaf) == CART
    assert leaf.public_key() == key.public_key()


async def test_names_in_a_signing_request_are_ignored(control_plane):
    credentials = await enrolled(control_plane)
    control_plane.directory.workloads[CART_1] = RegisteredWorkload("n1", CART)
    wish = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://mesh.local/ns/shop/sa/bank")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(wish, critical=False)
        .sign(new_key(), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        issued = await NodeClient(channel).issue(CART_1, csr)
        renewed = await NodeClient(channel).renew(csr)
    assert identity_of(x509.load_pem_x509_certificate(issued.chain_pem.encode())) == CART
    assert identity_of(x509.load_pem_x509_certificate(renewed.chain_pem.encode())) == N1


async def test_a_node_renews_with_a_new_key(control_plane):
    credentials = await enrolled(control_plane)
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        renewed = await client.renew(NodeClient(channel), credentials)
    assert renewed.node == credentials.node
    assert renewed.svid.key != credentials.svid.key
    async with mtls_channel(renewed, control_plane.nodes) as channel:
        await NodeClient(channel).renew(signing_request(new_key()))


async def test_credentials_are_kept_private_whatever_the_umask(control_plane, tmp_path: Path):
    credentials = await enrolled(control_plane)
    directory = tmp_path / "state" / "agent"
    before = os.umask(0)
    try:
        client.save(credentials, directory)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (directory, *directory.iterdir())}
    assert modes == {"agent": 0o700, "node.pem": 0o600, "bundle.pem": 0o600}
    assert client.load(directory, N1) == credentials
    with pytest.raises(InvalidCertificate):
        client.load(directory, NodeIdentity("mesh.local", "n2"))
    (directory / "node.pem").chmod(0o640)
    with pytest.raises(UnsafeFile):
        client.load(directory, N1)


def test_without_credentials_there_is_nothing_to_load(tmp_path: Path):
    assert client.load(tmp_path, N1) is None


async def test_no_secret_shows_in_a_repr(control_plane):
    token = await control_plane.token()
    credentials = await enrol(token, control_plane.enrolment, "n1")
    shown = repr((token, credentials, str(credentials.svid.key), f"{token.secret}"))
    assert token.secret.reveal().decode() not in shown
    assert "PRIVATE KEY" not in shown


async def test_a_call_on_a_channel_that_is_closed_meanwhile_has_failed(control_plane):
    """It must not look as if the caller's task had been cancelled: a task that is cancelled ends in silence."""
    channel = mtls_channel(await enrolled(control_plane), control_plane.nodes)
    control_plane.held = asyncio.Event()
    call = asyncio.create_task(NodeClient(channel).report(ReportRequest("n1", ())))
    await control_plane.reached.wait()
    await channel.close()
    with pytest.raises(Unavailable, match="cancelled"):
        await call


async def test_a_caller_that_is_cancelled_is(control_plane):
    control_plane.held = asyncio.Event()
    async with mtls_channel(await enrolled(control_plane), control_plane.nodes) as channel:
        call = asyncio.create_task(NodeClient(channel).report(ReportRequest("n1", ())))
        await control_plane.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
