"""Who may ask a control plane for what: a real one, over its real listeners, with clients that break the rules."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from tests.fakes.mesh import service, workload

from tulle.control.app import ControlPlane, ControlSettings
from tulle.identity.ca import new_authority, pem, sign
from tulle.identity.client import NodeClient, NodeCredentials, enrol, mtls_channel
from tulle.identity.errors import Denied, Unavailable
from tulle.identity.keypair import key_pem, new_key, signing_request
from tulle.identity.messages import SERVICE, AttestRequest, IssueRequest, ReportRequest, encode
from tulle.identity.secret import Secret
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.svid import certified
from tulle.identity.tokens import parse_token
from tulle.model.names import SpiffeId, WorkloadName
from tulle.model.parse import encode_json
from tulle.model.workload import Workload
from tulle.store.protocol import Put
from tulle.xds import type_urls

pytestmark = pytest.mark.e2e

DOMAIN = "tulle.local"
WITHIN = 20.0
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
SERVER_NAME = (("grpc.ssl_target_name_override", "tulle-control-plane"),)

OURS = workload("web-1", "web", namespace="shop", node="n1", account="web", ports={"http": 8080})
THEIRS = workload("x-1", "x", namespace="other", node="n2", account="x", ports={"http": 8080})


class Mesh:
    """A control plane with two nodes: n1 may run `shop/web` and runs OURS, n2 may run `other/*` and runs THEIRS."""

    def __init__(self, plane: ControlPlane, n1: NodeCredentials, n2: NodeCredentials) -> None:
        self.plane, self.n1, self.n2 = plane, n1, n2

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.plane.xds_port}"

    @property
    def enrolment(self) -> str:
        return f"127.0.0.1:{self.plane.enrolment_port}"

    def stored(self) -> dict[str, Workload]:
        return {str(name): found for name, found in self.plane.refresh.snapshot.workloads.items()}

    @contextlib.asynccontextmanager
    async def as_node(self, credentials: NodeCredentials) -> AsyncIterator[grpc.aio.Channel]:
        async with mtls_channel(credentials, self.address) as channel:
            yield channel


async def _enrolled(plane: ControlPlane, node: str, rule: str) -> NodeCredentials:
    text = await plane.backend.create_token(node, (rule,), timedelta(minutes=5))
    return await enrol(parse_token(text), f"127.0.0.1:{plane.enrolment_port}", node)


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    settings = ControlSettings(
        DOMAIN, tmp_path / "control", tmp_path / "api.sock", "127.0.0.1:0", "127.0.0.1:0", store="memory:"
    )
    plane = ControlPlane(settings)
    started = asyncio.Event()
    serving = asyncio.create_task(plane.serve(started))
    try:
        async with asyncio.timeout(WITHIN):
            await started.wait()
        resources = [service("web"), service("x", namespace="other")]
        await plane.backend.store.write([Put(r.ref, encode_json(r)) for r in resources])
        made = Mesh(plane, await _enrolled(plane, "n1", "shop/web"), await _enrolled(plane, "n2", "other/*"))
        for credentials, report in ((made.n1, OURS), (made.n2, THEIRS)):
            async with made.as_node(credentials) as channel:
                reply = await NodeClient(channel).report(ReportRequest(credentials.node.node, (report,)))
                assert reply.problems == ()
        yield made
    finally:
        serving.cancel()
        await asyncio.wait([serving])


class Answer:
    """What a delta stream said until it had said something of every name that was asked for, or had ended."""

    def __init__(self, names: set[str], removed: set[str]) -> None:
        self.names, self.removed = names, removed


async def ask(channel: grpc.aio.Channel, node: str, type_url: str, names: Iterable[str]) -> Answer:
    """Asks on a stream of its own. Raises AioRpcError where the control plane ends it."""
    call = channel.stream_stream(
        f"{ADS}DeltaAggregatedResources",
        request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
    )()
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
    request.node.id = node
    found, removed = set[str](), set[str]()
    async with asyncio.timeout(WITHIN):
        await call.write(request)
        while not found and not removed >= set(names):
            response = await call.read()
            if response is grpc.aio.EOF:
                raise grpc.aio.AioRpcError(
                    await call.code(),
                    await call.initial_metadata(),
                    await call.trailing_metadata(),
                    await call.details(),
                )
            found |= {resource.name for resource in response.resources if resource.resource.value}
            removed |= set(response.removed_resources)
            removed |= {resource.name for resource in response.resources if not resource.resource.value}
    call.cancel()
    return Answer(found, removed)


async def refused(channel: grpc.aio.Channel, node: str) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, node, type_urls.LISTENER, ["*"])
    code: grpc.StatusCode = caught.value.code()
    return code


OUR_PROXY, THEIR_PROXY = "sidecar~n1~shop~web-1", "sidecar~n2~other~x-1"


async def test_a_proxy_starts_with_its_own(mesh: Mesh) -> None:
    async with mesh.as_node(mesh.n1) as channel:
        listeners = await ask(channel, OUR_PROXY, type_urls.LISTENER, ["*"])
        assert listeners.names == {"inbound/shop/web-1", "outbound/shop/web-1"}
        clusters = await ask(channel, OUR_PROXY, type_urls.CLUSTER, ["*"])
        assert "local/shop/web-1/8080" in clusters.names
        assert [name for name in clusters.names if "other" in name or "n2" in name] == []
        hosts = await ask(channel, OUR_PROXY, type_urls.VIRTUAL_HOST, ["shop/web:8080"])
        assert hosts.names == {"shop/web:8080"}


@pytest.mark.parametrize(
    ("type_url", "theirs", "nobodys"),
    [
        (type_urls.LISTENER, "inbound/other/x-1", "inbound/other/no-1"),
        (type_urls.LISTENER, "outbound/other/x-1", "outbound/shop/no-1"),
        (type_urls.CLUSTER, "local/other/x-1/8080", "local/other/no-1/8080"),
        (type_urls.CLUSTER, "identities/sidecar~n2~other~x-1", "identities/sidecar~n2~other~no-1"),
        (type_urls.VIRTUAL_HOST, "other/x:8080", "other/no:8080"),
        (type_urls.ROUTE_CONFIG, "other", "nowhere"),
        (type_urls.SECRET, f"spiffe://{DOMAIN}/ns/other/sa/x", f"spiffe://{DOMAIN}/ns/other/sa/no"),
        (type_urls.SECRET, f"spiffe://{DOMAIN}/ns/shop/sa/web", "trust-bundle"),
        (type_urls.NODE, "n2", "n3"),
        (type_urls.NODE, "n1", "n3"),
        (type_urls.LISTENER, "../other/x-1", "inbound/other/*"),
    ],
)
async def test_anothers_is_to_a_proxy_as_if_it_did_not_exist(
    mesh: Mesh, type_url: str, theirs: str, nobodys: str
) -> None:
    async with mesh.as_node(mesh.n1) as channel:
        for name in (theirs, nobodys):
            answer = await ask(channel, OUR_PROXY, type_url, [name])
            assert (answer.names, answer.removed) == (set(), {name})


async def test_an_agent_hears_of_its_node_only(mesh: Mesh) -> None:
    async with mesh.as_node(mesh.n1) as channel:
        assert (await ask(channel, "agent~n1", type_urls.NODE, ["n2"])).names == set()
        assert (await ask(channel, "agent~n1", type_urls.LISTENER, ["inbound/shop/web-1"])).names == set()


@pytest.mark.parametrize("node", [THEIR_PROXY, "node~n2", "agent~n2", "n1", "sidecar~n1~shop", "", "a" * 10_000])
async def test_nobody_speaks_for_another_node(mesh: Mesh, node: str) -> None:
    async with mesh.as_node(mesh.n1) as channel:
        assert await refused(channel, node) in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)


def _credentials(mesh: Mesh, identity: NodeIdentity | SpiffeId, own: bool = True) -> grpc.aio.Channel:
    """A channel with a certificate of that identity, from the mesh's authority or another one."""
    authority = mesh.plane.authority if own else new_authority(DOMAIN, mesh.n1.svid.not_before)
    key = new_key()
    now = mesh.n1.svid.not_before + timedelta(seconds=10)
    chain = pem(sign(signing_request(key), identity, now, timedelta(hours=1), authority))
    return grpc.aio.secure_channel(
        mesh.address,
        grpc.ssl_channel_credentials(mesh.plane.authority.bundle_pem.encode(), key_pem(key).reveal(), chain.encode()),
        options=SERVER_NAME,
    )


async def test_a_workload_is_no_node(mesh: Mesh) -> None:
    async with _credentials(mesh, SpiffeId(DOMAIN, "shop", "web")) as channel:
        assert await refused(channel, OUR_PROXY) is grpc.StatusCode.PERMISSION_DENIED
        for call in (
            NodeClient(channel).issue(WorkloadName("shop", "web-1"), signing_request(new_key())),
            NodeClient(channel).renew(signing_request(new_key())),
            NodeClient(channel).report(ReportRequest("n1", (OURS,))),
        ):
            with pytest.raises(Denied):
                await call


async def test_without_the_right_certificate_there_is_no_stream_at_all(mesh: Mesh) -> None:
    bundle = mesh.plane.authority.bundle_pem.encode()
    nothing = grpc.aio.secure_channel(mesh.address, grpc.ssl_channel_credentials(bundle), options=SERVER_NAME)
    foreign = _credentials(mesh, NodeIdentity(DOMAIN, "n1"), own=False)
    plain = grpc.aio.insecure_channel(mesh.address)
    for channel in (nothing, foreign, plain):
        async with channel:
            assert await refused(channel, OUR_PROXY) is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(Unavailable):
                await NodeClient(channel, timedelta(seconds=5)).renew(signing_request(new_key()))


async def test_a_node_that_was_never_enrolled_or_is_no_more_gets_nothing(mesh: Mesh) -> None:
    async with _credentials(mesh, NodeIdentity(DOMAIN, "n3")) as channel:
        assert await refused(channel, "agent~n3") is grpc.StatusCode.PERMISSION_DENIED
    await mesh.plane.tokens.remove_node("n1")
    async with mesh.as_node(mesh.n1) as channel:
        assert await refused(channel, OUR_PROXY) is grpc.StatusCode.PERMISSION_DENIED
        for call in (
            NodeClient(channel).issue(WorkloadName("shop", "web-1"), signing_request(new_key())),
            NodeClient(channel).renew(signing_request(new_key())),
        ):
            with pytest.raises(Denied):
                await call
        reply = await NodeClient(channel).report(ReportRequest("n1", (OURS,)))
        assert len(reply.problems) == 1


async def test_certificates_are_for_ones_own_workloads(mesh: Mesh) -> None:
    """And say whose they are by what the control plane knows, not by what the request says."""
    async with mesh.as_node(mesh.n1) as channel:
        client, key = NodeClient(channel), new_key()
        messages = set()
        for name in (WorkloadName("other", "x-1"), WorkloadName("other", "no-1"), WorkloadName("shop", "x-1")):
            with pytest.raises(Denied) as caught:
                await client.issue(name, signing_request(key))
            messages.add(str(caught.value).replace(str(name), "NAME"))
        assert len(messages) == 1
        reply = await client.issue(WorkloadName("shop", "web-1"), signing_request(key))
        assert certified(key, reply.chain_pem, SpiffeId(DOMAIN, "shop", "web"), reply.bundle_pem)


async def test_a_node_reports_its_own_workloads_with_its_own_accounts(mesh: Mesh) -> None:
    before = mesh.stored()
    foreign_account = workload("y-1", namespace="shop", node="n1", account="admin")
    foreign_namespace = workload("y-1", namespace="other", node="n1", account="x")
    taken = workload("x-1", "x", namespace="other", node="n1", account="x")
    async with mesh.as_node(mesh.n1) as channel:
        client = NodeClient(channel)
        for request in (ReportRequest("n2", (THEIRS,)), ReportRequest("n1", (THEIRS,)), ReportRequest("n2", ())):
            with pytest.raises(Denied):
                await client.report(request)
        for report in (foreign_account, foreign_namespace, taken):
            reply = await client.report(ReportRequest("n1", (OURS, report)))
            assert len(reply.problems) == 1
            assert mesh.stored() == before


async def test_the_enrolment_port_offers_enrolment_and_nothing_else(mesh: Mesh) -> None:
    bundle = mesh.plane.authority.bundle_pem.encode()
    credentials = grpc.ssl_channel_credentials(bundle, mesh.n1.svid.key.reveal(), mesh.n1.svid.chain_pem.encode())
    async with grpc.aio.secure_channel(mesh.enrolment, credentials, options=SERVER_NAME) as channel:
        assert await refused(channel, OUR_PROXY) is grpc.StatusCode.UNIMPLEMENTED
        for method, request in (
            ("Renew", IssueRequest("shop", "web-1", signing_request(new_key()))),
            ("Issue", IssueRequest("shop", "web-1", signing_request(new_key()))),
            ("Report", ReportRequest("n1", (OURS,))),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/{method}")(encode(request), timeout=WITHIN)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        invented = f"tulle1.{'a' * 12}.{'b' * 43}.{mesh.plane.authority.pin}".encode()
        for token in (invented, b"", b"x" * 2000):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                body = encode(AttestRequest(Secret(token), "n3", signing_request(new_key())))
                await channel.unary_unary(f"/{SERVICE}/Attest")(body, timeout=WITHIN)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert token.decode() == "" or token.decode() not in (caught.value.details() or "")
        for body in (b"{", b"\0" * 100, b"x" * (1 << 20), b"[" * 100_000):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/{SERVICE}/Attest")(body, timeout=WITHIN)


async def test_a_join_token_is_for_one_node_once(mesh: Mesh) -> None:
    token = parse_token(await mesh.plane.backend.create_token("n3", ("shop/*",), timedelta(minutes=5)))
    with pytest.raises(Denied, match="another node"):
        await enrol(token, mesh.enrolment, "n1")
    results = await asyncio.gather(*(enrol(token, mesh.enrolment, "n3") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, NodeCredentials) for result in results) == 1
    assert sum(isinstance(result, Denied) for result in results) == 4
