import json
from datetime import timedelta

import pytest
from tests.fakes import mesh
from tests.fakes.stream import FakeStream
from tests.unit.control.conftest import NOW, Plane

import tulle
from tulle.api import NodeState, ProxyState, TypeSync
from tulle.identity.errors import InvalidToken
from tulle.identity.tokens import AccountRule, parse_token
from tulle.model.names import ProxyId, WorkloadName
from tulle.model.problem import Problem
from tulle.store.protocol import Put
from tulle.stream import WILDCARD, Subscribed
from tulle.xds import type_urls

WEB = WorkloadName("shop", "web-1")
SIDECAR = ProxyId("n1", WEB)
WORLD = (
    mesh.service("catalog"),
    mesh.workload("web-1", "web", ports={"http": 8080}),
    mesh.workload("batch-1", "batch", node="n2", mode="node"),
    mesh.workload("batch-2", "batch", node="n2", mode="node"),
    mesh.workload("by-hand", "x", node="n3", network=""),
    mesh.workload("nowhere", "x", node="", network=""),
)


def connect(plane: Plane, node_id: str, **names: set[str]) -> FakeStream:
    node = node_id.split("~")[1]
    stream = FakeStream(node_id, f"spiffe://tulle.local/tulle/node/{node}")
    plane.streams.open(stream)
    for type_name, wanted in names.items():
        type_url = getattr(type_urls, type_name)
        stream.names[type_url] = wanted
        plane.streams.event(stream, Subscribed(type_url, tuple(wanted)))
    return stream


class TestProxies:
    async def test_that_should_run_are_there_before_they_connect(self, plane: Plane):
        await plane.write(*WORLD)
        assert plane.backend.proxies() == (
            ProxyState("node~n2", "n2", "", False, False),
            ProxyState("sidecar~n1~shop~web-1", "n1", "shop/web-1", False, False),
        )

    async def test_say_how_far_they_are(self, plane: Plane):
        await plane.write(*WORLD)
        stream = connect(plane, str(SIDECAR), CLUSTER={WILDCARD}, VIRTUAL_HOST={"shop/catalog"})
        stream.versions = {type_urls.CLUSTER: {"passthrough": "1", "x": "2"}}
        _, state = plane.backend.proxies()
        assert state.connected and state.in_sync
        assert state.types == (TypeSync(type_urls.CLUSTER, 2, True), TypeSync(type_urls.VIRTUAL_HOST, 0, True))

    async def test_that_refuse_something_are_not_in_sync(self, plane: Plane):
        await plane.write(*WORLD)
        connect(plane, str(SIDECAR), CLUSTER={WILDCARD}, LISTENER={WILDCARD})
        plane.rejections.refused(SIDECAR, type_urls.LISTENER, "outbound/shop/web-1", "bad")
        _, state = plane.backend.proxies()
        assert state.connected and not state.in_sync
        assert state.types == (
            TypeSync(type_urls.CLUSTER, 0, True),
            TypeSync(type_urls.LISTENER, 0, False, "bad"),
        )

    async def test_that_lag_behind_are_not_in_sync(self, plane: Plane):
        connect(plane, str(SIDECAR)).in_sync = False
        (state,) = plane.backend.proxies()
        assert state.connected and not state.in_sync

    async def test_nobody_expects_are_shown_too(self, plane: Plane):
        connect(plane, "node~n9")
        connect(plane, "agent~n9")
        assert [p.id for p in plane.backend.proxies()] == ["node~n9"]


class TestXds:
    async def test_is_what_a_proxy_asked_for_as_json(self, plane: Plane):
        await plane.write(*WORLD)
        connect(plane, str(SIDECAR), LISTENER={WILDCARD}, CLUSTER={"catalog.shop:8080", "catalog.bank:8080", "x"})
        shown = plane.backend.xds(SIDECAR)
        assert shown is not None
        assert [(x.type_url, x.name) for x in shown] == [
            (type_urls.CLUSTER, "catalog.shop:8080"),
            (type_urls.LISTENER, "inbound/shop/web-1"),
            (type_urls.LISTENER, "outbound/shop/web-1"),
        ]
        assert json.loads(bytes(shown[0].body))["name"] == "catalog.shop:8080"
        assert all(x.version for x in shown)

    async def test_of_who_is_not_connected_is_not_known(self, plane: Plane):
        await plane.write(*WORLD)
        assert plane.backend.xds(SIDECAR) is None
        assert plane.backend.xds(ProxyId("n9")) is None


class TestNodes:
    async def test_are_those_with_workloads_and_those_with_an_agent(self, plane: Plane):
        await plane.write(*WORLD)
        connect(plane, "agent~n2")
        connect(plane, "agent~n9")
        assert plane.backend.nodes() == (
            NodeState("n1", connected=False, workloads=1, proxies=1),
            NodeState("n2", connected=True, workloads=2, proxies=1),
            NodeState("n3", connected=False, workloads=1, proxies=0),
            NodeState("n9", connected=True, workloads=0, proxies=0),
        )

    async def test_are_those_that_are_enrolled_too(self, plane: Plane):
        await plane.enrol("n7", "shop/*", "bank/teller")
        assert plane.backend.nodes() == (
            NodeState("n7", connected=False, workloads=0, proxies=0, service_accounts=("shop/*", "bank/teller")),
        )


class TestTokens:
    async def test_are_for_a_node_and_its_accounts(self, plane: Plane):
        text = await plane.backend.create_token("n7", ("shop/*", "bank/teller"), timedelta(hours=1))
        token = parse_token(text)
        assert token.pin == plane.authority.pin
        (ticket,) = (await plane.book.read()).tickets
        assert ticket.expires == NOW + timedelta(hours=1)
        await plane.book.redeem(token, "n7", NOW)
        assert await plane.book.accounts("n7") == (AccountRule("shop", "*"), AccountRule("bank", "teller"))

    async def test_for_what_is_no_account_are_not_made(self, plane: Plane):
        with pytest.raises(InvalidToken):
            await plane.backend.create_token("n7", ("shop",), timedelta(hours=1))
        assert (await plane.book.read()).tickets == ()


class TestReadiness:
    async def test_is_given_unless_the_store_was_refused(self, plane: Plane):
        assert plane.backend.not_ready() == ()
        plane.refresh.refusal = Problem("", "too much is gone")
        assert plane.backend.not_ready() == (plane.refresh.refusal,)


async def test_writes_go_through_admission(plane: Plane):
    service = mesh.service("catalog")
    await plane.backend.store.write([Put(service.ref, b'{"kind":"Service","apiVersion":"v1","metadata":{"name":"x"}}')])
    stored = await plane.store.get(service.ref)
    assert stored is not None and b"clusterIP" in stored.body


async def test_status_and_version_are_answered(plane: Plane):
    await plane.write(*WORLD)
    assert len(plane.backend.status(WORLD[0].ref).conditions) == 2
    assert plane.backend.version() == tulle.__version__
