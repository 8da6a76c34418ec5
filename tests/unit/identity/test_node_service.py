"""Who may call what, over real gRPC."""

from datetime import timedelta

import grpc
import pytest

from tulle.identity import ca
from tulle.identity.client import NodeClient, NodeCredentials, enrol, mtls_channel
from tulle.identity.errors import Denied, Unavailable
from tulle.identity.issuer import RegisteredWorkload
from tulle.identity.keypair import key_pem, new_key, signing_request
from tulle.identity.messages import MAX_SMALL_REQUEST, ReportRequest
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.svid import Svid
from tulle.model.metadata import Metadata
from tulle.model.names import SpiffeId, WorkloadName
from tulle.model.workload import Workload, WorkloadSpec

CART = SpiffeId("mesh.local", "shop", "cart")
CART_1 = WorkloadName("shop", "cart-1")
N1 = NodeIdentity("mesh.local", "n1")


async def enrolled(control_plane, rules: tuple[str, ...] = ("shop/*",)) -> NodeCredentials:
    return await enrol(await control_plane.token("n1", rules), control_plane.enrolment, "n1")


def workload(node: str) -> Workload:
    return Workload(metadata=Metadata("cart-1", "shop"), spec=WorkloadSpec("10.0.0.1", 15100, node))


async def test_another_nodes_workload_is_refused_like_one_that_does_not_exist(control_plane):
    credentials = await enrolled(control_plane)
    there = WorkloadName("shop", "far-away")
    control_plane.directory.workloads[there] = RegisteredWorkload("n2", CART)
    messages = []
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        for name in (there, WorkloadName("shop", "nowhere")):
            with pytest.raises(Denied) as caught:
                await NodeClient(channel).issue(name, signing_request(new_key()))
            messages.append(str(caught.value).replace(name.name, ""))
    assert messages[0] == messages[1]


async def test_a_service_account_beyond_the_nodes_token_is_refused(control_plane):
    credentials = await enrolled(control_plane, rules=("shop/web", "other/*"))
    control_plane.directory.workloads[CART_1] = RegisteredWorkload("n1", CART)
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        with pytest.raises(Denied, match="may not run"):
            await NodeClient(channel).issue(CART_1, signing_request(new_key()))


async def test_a_removed_node_gets_nothing_any_more(control_plane):
    credentials = await enrolled(control_plane)
    control_plane.directory.workloads[CART_1] = RegisteredWorkload("n1", CART)
    await control_plane.book.remove_node("n1")
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        with pytest.raises(Denied, match="not enrolled"):
            await NodeClient(channel).renew(signing_request(new_key()))
        with pytest.raises(Denied):
            await NodeClient(channel).issue(CART_1, signing_request(new_key()))


async def test_a_report_goes_through_with_its_reply(control_plane):
    credentials = await enrolled(control_plane)
    request = ReportRequest("n1", (workload("n1"),))
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        reply = await NodeClient(channel).report(request)
    assert [problem.path for problem in reply.problems] == ["spec.ports"]
    assert control_plane.reports == [(N1, request)]


async def test_a_report_for_another_node_is_refused(control_plane):
    credentials = await enrolled(control_plane)
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        for request in (
            ReportRequest("n2", ()),
            ReportRequest("n1", (workload("n2"),)),
            ReportRequest("n1", (workload(""),)),
        ):
            with pytest.raises(Denied, match="for another"):
                await NodeClient(channel).report(request)
    assert control_plane.reports == []


async def test_a_report_that_cannot_be_taken_now_is_to_be_sent_again(control_plane, caplog):
    credentials = await enrolled(control_plane)
    control_plane.error = Unavailable("the disk is full")
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        with pytest.raises(Unavailable, match="Report: the disk is full"):
            await NodeClient(channel).report(ReportRequest("n1", ()))
    assert [(r.levelname, r.exc_info) for r in caplog.records if "the disk is full" in r.message] == [("WARNING", None)]


@pytest.mark.parametrize("kind", ["none", "foreign"])
async def test_without_a_certificate_of_the_mesh_there_is_no_connection(control_plane, kind):
    key = new_key()
    stranger = ca.new_authority("mesh.local", control_plane.clock() - timedelta(days=1))
    leaf = ca.sign(signing_request(key), N1, control_plane.clock(), timedelta(hours=1), stranger)
    credentials = grpc.ssl_channel_credentials(
        control_plane.authority.bundle_pem.encode(),
        *((key_pem(key).reveal(), ca.pem(leaf).encode()) if kind == "foreign" else (None, None)),
    )
    options = [("grpc.ssl_target_name_override", "tulle-control-plane")]
    async with grpc.aio.secure_channel(control_plane.nodes, credentials, options=options) as channel:
        with pytest.raises(Unavailable):
            await NodeClient(channel, timedelta(seconds=5)).renew(signing_request(new_key()))


async def test_a_workloads_certificate_is_not_a_nodes(control_plane):
    key = new_key()
    leaf = ca.sign(signing_request(key), CART, control_plane.clock(), timedelta(hours=1), control_plane.authority)
    svid = Svid(CART, key_pem(key), ca.pem(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    credentials = NodeCredentials(N1, svid, control_plane.authority.bundle_pem)
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        with pytest.raises(Denied, match="only nodes"):
            await NodeClient(channel).renew(signing_request(new_key()))


async def test_the_enrolment_listener_knows_no_other_method(control_plane):
    credentials = await enrolled(control_plane)
    async with mtls_channel(credentials, control_plane.enrolment) as channel:
        with pytest.raises(Denied):
            await NodeClient(channel).renew(signing_request(new_key()))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"\xff", b'{"csr_pem":1}', b'{"csr_pem":"x"}', b" " * (MAX_SMALL_REQUEST + 1)]
)
async def test_bad_requests_are_refused(control_plane, body):
    credentials = await enrolled(control_plane)
    async with mtls_channel(credentials, control_plane.nodes) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/tulle.v1.Node/Renew")(body)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED)


async def test_the_enrolment_listener_reads_small_messages_only(control_plane):
    """Anybody can reach it."""
    credentials = grpc.ssl_channel_credentials(control_plane.authority.bundle_pem.encode())
    options = (("grpc.ssl_target_name_override", ca.CONTROL_PLANE_DNS_NAME),)
    async with grpc.aio.secure_channel(control_plane.enrolment, credentials, options) as channel:
        for size, code in (
            (MAX_SMALL_REQUEST, grpc.StatusCode.INVALID_ARGUMENT),
            (MAX_SMALL_REQUEST + 1, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/tulle.v1.Node/Attest")(b" " * size)
            assert caught.value.code() is code


async def test_a_failure_of_the_control_plane_shows_nothing_of_it(control_plane, tmp_path):
    token = await control_plane.token()
    (tmp_path / "control" / "tokens.json").write_text("broken")
    with pytest.raises(Unavailable) as caught:
        await enrol(token, control_plane.enrolment, "n1")
    assert str(caught.value) == "Attest: the control plane failed; its log says why"
