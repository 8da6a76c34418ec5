from collections.abc import Iterable

import pytest
from tests.fakes import mesh
from tests.fakes.stream import FakeStream
from tests.unit.control.conftest import Plane

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    TcpClusterKey,
    VirtualHostKey,
)
from tulle.model.names import AgentId, ProxyId, ServiceName, ServicePort, WorkloadName, WorkloadPort
from tulle.stream import ABSENT, WILDCARD, Acked, Nacked, Oversized, Source, Subscribed, Unsubscribed
from tulle.stream.server import Refused
from tulle.xds import type_urls
from tulle.xds.names import PLACEHOLDER_AUTHORITY, name_of
from tulle.xds.resource import Resource

WEB, BATCH = WorkloadName("shop", "web-1"), WorkloadName("shop", "batch-1")
CATALOG = ServicePort(ServiceName("shop", "catalog"), 8080)
CLUSTER, ENDPOINTS = ClusterKey(CATALOG), EndpointsKey(CATALOG)
HOST = VirtualHostKey("shop", "catalog:8080")
SIDECAR, NODE, AGENT = str(ProxyId("n1", WEB)), str(ProxyId("n1")), str(AgentId("n1"))
WORLD = (
    mesh.service("catalog"),
    mesh.workload("catalog-1", "catalog", node="n2"),
    mesh.workload("web-1", "web", ports={"http": 8080}),
    mesh.workload("batch-1", "batch", mode="node"),
)
DRAINING = mesh.workload("catalog-1", "catalog", node="n2", state="Draining")
NODE_1 = "spiffe://tulle.local/tulle/node/n1"


def opened(plane: Plane, node_id: str) -> tuple[FakeStream, Source]:
    stream = FakeStream(node_id)
    return stream, plane.streams.open(stream)


def ask(plane: Plane, stream: FakeStream, *keys: Key) -> None:
    for key in keys:
        type_url, name = name_of(key)
        ask_names(plane, stream, type_url, [name])


def ask_names(plane: Plane, stream: FakeStream, type_url: str, names: Iterable[str]) -> None:
    stream.names.setdefault(type_url, set()).update(names)
    plane.streams.event(stream, Subscribed(type_url, tuple(names)))


def leave(plane: Plane, stream: FakeStream, *keys: Key) -> None:
    for key in keys:
        type_url, name = name_of(key)
        stream.names[type_url].discard(name)
        plane.streams.event(stream, Unsubscribed(type_url, (name,)))


def got(source: Source, key: Key) -> bool:
    found = source.get(*name_of(key))
    if isinstance(found, Resource):
        assert (found.type_url, found.name) == name_of(key)
        return True
    assert found is ABSENT
    return False


class TestWhoMayHaveAStream:
    @pytest.mark.parametrize("node_id", [SIDECAR, NODE, AGENT, "sidecar~n1~shop~unknown"])
    async def test_a_nodes_proxies_and_its_agent(self, plane: Plane, node_id: str):
        opened(plane, node_id)
        assert [str(c) for c in plane.streams.clients()] == [node_id]

    @pytest.mark.parametrize(
        ("node_id", "spiffe_id"),
        [
            ("node~n2", NODE_1),
            ("agent~n2", NODE_1),
            ("sidecar~n2~shop~web-1", NODE_1),
            ("", NODE_1),
            ("n1", NODE_1),
            ("node~n1~x", NODE_1),
            ("node~n1", None),
            ("node~n1", ""),
            ("node~n1", "spiffe://other/tulle/node/n1"),
            ("node~n1", "spiffe://tulle.local/tulle/node/n11"),
            ("node~n1", "spiffe://tulle.local/tulle/node/N1"),
            ("node~n1", "spiffe://tulle.local/tulle/control-plane"),
            ("node~n1", "spiffe://tulle.local/ns/tulle/sa/n1"),
            ("node~n1", "spiffe://tulle.local/tulle/node/n1/"),
            ("node~n1", "https://tulle.local/tulle/node/n1"),
            ("node~n1", "rubbish"),
        ],
    )
    async def test_nobody_else(self, plane: Plane, node_id: str, spiffe_id: str | None):
        with pytest.raises(Refused):
            plane.streams.open(FakeStream(node_id, spiffe_id))
        assert plane.streams.clients() == {}

    async def test_not_a_node_that_was_removed(self, plane: Plane):
        plane.strangers.add("n1")
        for node_id in (SIDECAR, NODE, AGENT):
            with pytest.raises(Refused, match="not enrolled"):
                plane.streams.open(FakeStream(node_id))


class TestWhatAProxySees:
    async def test_is_what_its_workloads_may_call(self, plane: Plane):
        await plane.write(*WORLD)
        _, source = opened(plane, SIDECAR)
        assert all(got(source, key) for key in (CLUSTER, ENDPOINTS, HOST, ListenerKey(WEB, "outbound")))

    @pytest.mark.parametrize(
        "key",
        [
            ListenerKey(BATCH, "outbound"),
            VirtualHostKey("bank", "catalog.shop:8080"),
            TcpClusterKey("bank", "240.244.0.1:9000"),
            LocalClusterKey(WorkloadPort(BATCH, 80)),
            IdentitiesClusterKey("node~n1"),
            NodeKey("n1"),
            NameKey("shop", "catalog"),
        ],
    )
    async def test_is_nothing_of_others(self, plane: Plane, key: Key):
        await plane.write(*WORLD)
        _, source = opened(plane, SIDECAR)
        assert not got(source, key)
        assert len(plane.compiler) == 0

    @pytest.mark.parametrize(
        "name", ["", "x", "*", "shop", "shop/", "local/shop/web-1/0", "outbound/shop/web-1/", "\0"]
    )
    async def test_is_nothing_under_names_that_mean_nothing(self, plane: Plane, name: str):
        await plane.write(*WORLD)
        _, source = opened(plane, SIDECAR)
        for type_url in (type_urls.CLUSTER, type_urls.LISTENER, type_urls.VIRTUAL_HOST, type_urls.SECRET, "made/up"):
            assert source.get(type_url, name) is ABSENT

    async def test_starts_with_its_roots(self, plane: Plane):
        await plane.write(*WORLD)
        _, source = opened(plane, SIDECAR)
        assert source.roots(type_urls.LISTENER) == ("inbound/shop/web-1", "outbound/shop/web-1")
        assert source.roots(type_urls.CLUSTER) == (
            f"identities/{SIDECAR}",
            "passthrough",
            "local/shop/web-1/8080",
        )
        assert source.roots(type_urls.VIRTUAL_HOST) == (f"shop/{PLACEHOLDER_AUTHORITY}",)
        assert source.roots(type_urls.ENDPOINTS) == source.roots(type_urls.ROUTE_CONFIG) == ()
        for type_url in (type_urls.LISTENER, type_urls.CLUSTER, type_urls.VIRTUAL_HOST):
            assert all(isinstance(source.get(type_url, name), Resource) for name in source.roots(type_url))

    async def test_is_nothing_while_its_workload_is_not_known(self, plane: Plane):
        _, source = opened(plane, SIDECAR)
        assert source.roots(type_urls.LISTENER) == source.roots(type_urls.CLUSTER) == ()
        assert not got(source, HOST)


class TestWhatAnAgentSees:
    async def test_is_its_node_and_every_name(self, plane: Plane):
        await plane.write(*WORLD, mesh.app("a"))
        _, source = opened(plane, AGENT)
        assert got(source, NodeKey("n1"))
        assert got(source, NameKey("shop", "catalog")) and not got(source, NameKey("shop", "example.com"))
        assert source.roots(type_urls.NODE) == ("n1",)
        assert source.roots(type_urls.NAME) == ()

    @pytest.mark.parametrize(
        "key", [NodeKey("n2"), CLUSTER, HOST, ListenerKey(WEB, "inbound"), PassthroughClusterKey()]
    )
    async def test_is_nothing_of_others(self, plane: Plane, key: Key):
        await plane.write(*WORLD)
        _, source = opened(plane, AGENT)
        assert not got(source, key)

    @pytest.mark.parametrize("name", ["n1", WILDCARD])
    async def test_is_told_of_changes_however_it_asked(self, plane: Plane, name: str):
        stream, source = opened(plane, AGENT)
        ask_names(plane, stream, type_urls.NODE, [name])
        source.get(type_urls.NODE, "n1")
        await plane.write(mesh.app("a"), mesh.app("b", node="n2"))
        assert stream.heard() == ({(type_urls.NODE, "n1")}, set())


class TestChanges:
    async def test_wake_only_those_who_asked(self, plane: Plane):
        await plane.write(*WORLD)
        asks, asks_other, asks_nothing = (opened(plane, SIDECAR)[0], opened(plane, NODE)[0], opened(plane, NODE)[0])
        source = plane.streams.open(asks)
        ask(plane, asks, CLUSTER, ENDPOINTS)
        ask(plane, asks_other, HOST)
        for key in (CLUSTER, ENDPOINTS, HOST):
            got(source, key)
        await plane.write(DRAINING)
        assert asks.heard() == ({name_of(ENDPOINTS)}, set())
        assert asks_other.heard() == asks_nothing.heard() == (set(), set())

    async def test_wake_every_stream_that_asked(self, plane: Plane):
        await plane.write(*WORLD)
        streams = [opened(plane, node_id)[0] for node_id in (SIDECAR, NODE)]
        for stream in streams:
            ask(plane, stream, ENDPOINTS)
        plane.compiler.resource(ENDPOINTS)
        await plane.write(DRAINING)
        assert [s.heard()[0] for s in streams] == [{name_of(ENDPOINTS)}] * 2

    async def test_wake_nobody_who_has_left_it(self, plane: Plane):
        await plane.write(*WORLD)
        (stays, _), (leaves, _), (closes, _) = (opened(plane, SIDECAR), opened(plane, NODE), opened(plane, NODE))
        for stream in (stays, leaves, closes):
            ask(plane, stream, ENDPOINTS)
        plane.compiler.resource(ENDPOINTS)
        leave(plane, leaves, ENDPOINTS)
        plane.streams.closed(closes)
        await plane.write(DRAINING)
        assert stays.heard()[0] == {name_of(ENDPOINTS)}
        assert leaves.heard() == closes.heard() == (set(), set())

    @pytest.mark.parametrize("kept", ["inbound/shop/web-1", WILDCARD])
    async def test_reach_who_asked_in_two_ways_and_left_one(self, plane: Plane, kept: str):
        await plane.write(*WORLD)
        stream, _ = opened(plane, SIDECAR)
        ways = {"inbound/shop/web-1", WILDCARD}
        ask_names(plane, stream, type_urls.LISTENER, sorted(ways))
        plane.compiler.resource(ListenerKey(WEB, "inbound"))
        (left,) = ways - {kept}
        stream.names[type_urls.LISTENER] = {kept}
        plane.streams.event(stream, Unsubscribed(type_urls.LISTENER, (left,)))
        await plane.write(mesh.workload("web-1", "web", ports={"http": 8081}))
        assert (type_urls.LISTENER, "inbound/shop/web-1") in stream.heard()[0]

    async def test_reach_what_was_absent_when_it_was_asked_for(self, plane: Plane):
        await plane.write(*WORLD[1:])
        stream, source = opened(plane, SIDECAR)
        ask(plane, stream, CLUSTER)
        assert not got(source, CLUSTER)
        await plane.write(WORLD[0])
        assert stream.heard()[0] == {name_of(CLUSTER)}

    async def test_of_unknown_names_are_none(self, plane: Plane):
        stream, _ = opened(plane, SIDECAR)
        for type_url, name in ((type_urls.CLUSTER, "x"), ("made/up", "y"), (type_urls.SECRET, "z")):
            ask_names(plane, stream, type_url, [name])
            plane.streams.event(stream, Unsubscribed(type_url, (name,)))


class TestWhatNobodyAsksFor:
    async def test_is_forgotten(self, plane: Plane):
        await plane.write(*WORLD)
        one, source = opened(plane, SIDECAR)
        two, _ = opened(plane, NODE)
        for stream in (one, two):
            ask(plane, stream, CLUSTER)
        got(source, CLUSTER)
        leave(plane, one, CLUSTER)
        assert len(plane.compiler) == 1
        plane.streams.closed(two)
        assert len(plane.compiler) == 0

    async def test_goes_with_the_last_stream(self, plane: Plane):
        await plane.write(*WORLD)
        stream, source = opened(plane, SIDECAR)
        for type_url in (type_urls.CLUSTER, type_urls.LISTENER, type_urls.VIRTUAL_HOST):
            ask_names(plane, stream, type_url, [WILDCARD])
            for name in source.roots(type_url):
                source.get(type_url, name)
        assert len(plane.compiler) == 6
        plane.streams.closed(stream)
        assert len(plane.compiler) == 0
        assert plane.streams.clients() == {}

    async def test_a_new_stream_of_the_same_client_outlives_the_old(self, plane: Plane):
        await plane.write(*WORLD)
        old, _ = opened(plane, SIDECAR)
        new, _ = opened(plane, SIDECAR)
        ask(plane, new, ENDPOINTS)
        plane.compiler.resource(ENDPOINTS)
        plane.rejections.refused(ProxyId("n1", WEB), *name_of(CLUSTER), "bad")
        plane.streams.closed(old)
        assert plane.streams.clients() == {ProxyId("n1", WEB): new}
        assert len(plane.rejections.all()) == 1
        await plane.write(DRAINING)
        assert new.heard()[0] == {name_of(ENDPOINTS)}
        plane.streams.closed(new)
        assert plane.rejections.all() == ()


class TestScopes:
    async def start(self, plane: Plane, node_id: str) -> tuple[FakeStream, Source]:
        stream, source = opened(plane, node_id)
        for type_url in (type_urls.CLUSTER, type_urls.LISTENER):
            ask_names(plane, stream, type_url, [WILDCARD])
            for name in source.roots(type_url):
                source.get(type_url, name)
        return stream, source

    async def test_that_grow_are_told_by_their_roots(self, plane: Plane):
        stream, source = await self.start(plane, NODE)
        await plane.write(mesh.workload("batch-1", "batch", mode="node"))
        assert stream.heard()[1] == {type_urls.CLUSTER, type_urls.LISTENER}
        assert source.roots(type_urls.LISTENER) == ("inbound/shop/batch-1", "outbound/shop/batch-1")

    async def test_that_grew_are_watched(self, plane: Plane):
        stream, source = await self.start(plane, NODE)
        await plane.write(mesh.workload("batch-1", "batch", mode="node"))
        got(source, ListenerKey(BATCH, "inbound"))
        stream.heard()
        await plane.write(mesh.workload("batch-1", "batch", mode="node", ports={"http": 80}))
        assert name_of(ListenerKey(BATCH, "inbound")) in stream.heard()[0]

    async def test_of_others_are_none_of_its_business(self, plane: Plane):
        await plane.write(*WORLD)
        stream, _ = await self.start(plane, SIDECAR)
        await plane.write(mesh.workload("batch-2", "batch", mode="node"), mesh.workload("x", "x", namespace="far"))
        assert stream.heard() == (set(), set())

    async def test_that_shrink_let_go_of_what_was_the_workloads_own(self, plane: Plane):
        await plane.write(*WORLD)
        stream, source = await self.start(plane, NODE)
        assert got(source, ListenerKey(BATCH, "inbound"))
        await plane.write(gone=[WORLD[3]])
        assert stream.heard()[1] == {type_urls.CLUSTER, type_urls.LISTENER}
        assert not got(source, ListenerKey(BATCH, "inbound"))
        assert len(plane.compiler) == 0

    async def test_that_open_answer_what_was_asked_too_early(self, plane: Plane):
        """A proxy may ask before its node has reported the workload."""
        await plane.write(WORLD[0])
        stream, source = opened(plane, SIDECAR)
        ask(plane, stream, HOST, ListenerKey(WEB, "outbound"))
        assert not got(source, HOST)
        await plane.write(WORLD[2])
        assert stream.heard()[0] == {name_of(HOST), name_of(ListenerKey(WEB, "outbound"))}
        assert got(source, HOST) and got(source, ListenerKey(WEB, "outbound"))

    async def test_that_close_take_back_what_was_asked(self, plane: Plane):
        await plane.write(*WORLD)
        stream, source = opened(plane, SIDECAR)
        ask(plane, stream, HOST)
        assert got(source, HOST)
        await plane.write(mesh.workload("web-1", "web", node="n2"))
        assert stream.heard()[0] == {name_of(HOST)}
        assert not got(source, HOST)


class TestAnswers:
    async def test_refusals_are_remembered_until_they_are_over(self, plane: Plane):
        stream, _ = opened(plane, SIDECAR)
        type_url, name = name_of(CLUSTER)
        plane.streams.event(stream, Nacked(type_url, {name: "1"}, "bad"))
        assert [(r.name, r.message) for r in plane.rejections.of(ProxyId("n1", WEB))] == [(name, "bad")]
        plane.streams.event(stream, Acked(type_url, {name: "2"}))
        assert plane.rejections.all() == ()

    async def test_what_is_no_longer_wanted_is_no_longer_refused(self, plane: Plane):
        stream, _ = opened(plane, SIDECAR)
        ask(plane, stream, CLUSTER, ENDPOINTS)
        for key in (CLUSTER, ENDPOINTS):
            type_url, name = name_of(key)
            plane.streams.event(stream, Nacked(type_url, {name: "1"}, "bad"))
        leave(plane, stream, CLUSTER)
        assert [r.type_url for r in plane.rejections.all()] == [type_urls.ENDPOINTS]

    async def test_nobody_is_blamed_while_it_is_not_known_who_is_at_fault(self, plane: Plane):
        stream, _ = opened(plane, SIDECAR)
        plane.streams.event(stream, Nacked(type_urls.CLUSTER, {"a.shop:1": "1", "b.shop:1": "1"}, "bad"))
        assert plane.rejections.all() == ()

    async def test_what_is_too_large_to_send_counts_as_refused(self, plane: Plane):
        stream, _ = opened(plane, SIDECAR)
        plane.streams.event(stream, Oversized(*name_of(CLUSTER), "1", 9_000_000))
        (rejection,) = plane.rejections.all()
        assert "9000000 bytes" in rejection.message
