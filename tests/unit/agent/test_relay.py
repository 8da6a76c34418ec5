"""The relay serves each proxy of the node its own, keeps secrets to itself, and forgets a proxy that is gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from tests.fakes.xds_host import FakeHost
from tests.fakes.xds_source import FakeSource

from tulle.agent.link import UpstreamSettings
from tulle.agent.relay import Relay
from tulle.agent.upstream import UpstreamTimes
from tulle.model.names import ProxyId, WorkloadName
from tulle.stream.client import CLIENT_OPTIONS, Backoff, ClientEvent, DeltaClient, Disconnected, Update
from tulle.stream.protocol import ABSENT, PENDING, Absent, Nacked, Pending
from tulle.stream.server import SERVER_OPTIONS, XdsService
from tulle.xds.resource import Resource, resource
from tulle.xds.type_urls import CLUSTER, SECRET

WEB = ProxyId("n1", WorkloadName("shop", "web-1"))
NODE = ProxyId("n1")
QUICK = Backoff(first=0.01, limit=0.02)


class FakeSecrets:
    """Certificates by proxy and name."""

    def __init__(self) -> None:
        self.known: dict[tuple[ProxyId, str], Resource | Pending] = {}

    def put(self, proxy: ProxyId, name: str, key: str) -> None:
        self.known[proxy, name] = resource(SECRET, name, key.encode())

    def get(self, proxy: ProxyId, name: str) -> Resource | Absent | Pending:
        return self.known.get((proxy, name), ABSENT)


class Proxy:
    """A proxy that takes everything, or refuses some bodies, and remembers what it has."""

    def __init__(self, channel: grpc.aio.Channel, node: str) -> None:
        self.client = DeltaClient(lambda: channel, base_pb2.Node(id=node), lambda _: {}, lambda: 1.0, QUICK)
        self.has: dict[str, str] = {}
        self.updates = 0
        self.ended: list[Disconnected] = []
        self.refuses = ""
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async for event in self.client.events():
            async with self._changed:
                self._hear(event)
                self._changed.notify_all()

    def _hear(self, event: ClientEvent) -> None:
        if isinstance(event, Disconnected):
            self.ended.append(event)
        if isinstance(event, Update):
            self.updates += 1
            if any(found.body.decode() == self.refuses for found in event.resources):
                self.client.nack(event, "is refused")
                return
            self.has.update((found.name, found.body.decode()) for found in event.resources)
            for name in event.removed:
                self.has.pop(name, None)
            self.client.ack(event)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(holds)


class Node:
    """A relay between a control plane and proxies, all on sockets below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.control = FakeHost(FakeSource())
        self.secrets = FakeSecrets()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Node":
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((XdsService(self.control).handler,))
        server.add_insecure_port(f"unix:{self.directory}/c")
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        channel = await self._stack.enter_async_context(
            grpc.aio.insecure_channel(f"unix:{self.directory}/c", options=CLIENT_OPTIONS)
        )
        upstream = UpstreamSettings(lambda: channel, lambda: 1.0, UpstreamTimes(QUICK))
        self.relay = Relay(self.directory / "cache", upstream, self.secrets)
        self.relay.want({WEB, NODE})
        self._start(self.relay.run(self.directory / "x"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def proxy(self, node: str) -> Proxy:
        channel = await self._stack.enter_async_context(
            grpc.aio.insecure_channel(f"unix:{self.directory}/x", options=CLIENT_OPTIONS)
        )
        proxy = Proxy(channel, node)
        self._start(proxy.run())
        return proxy

    def _start(self, work: "asyncio.Future[None] | object") -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._stack.push_async_callback(end)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        yield made


async def test_secrets_are_answered_here_and_for_the_proxy_that_has_them(node: Node) -> None:
    node.secrets.put(WEB, "spiffe://web", "key 1")
    node.secrets.known[WEB, "spiffe://late"] = PENDING
    node.control.source.put(CLUSTER, "a")
    web, other = await node.proxy(str(WEB)), await node.proxy(str(NODE))
    for proxy in (web, other):
        proxy.client.subscribe(SECRET, ["spiffe://web", "spiffe://late"])
        proxy.client.subscribe(CLUSTER, ["a"])
    await web.until(lambda: web.has == {"spiffe://web": "key 1", "a": "1"})
    await other.until(lambda: other.has == {"a": "1"})
    node.secrets.put(WEB, "spiffe://web", "key 2")
    node.secrets.put(WEB, "spiffe://late", "key 3")
    node.relay.secrets_changed()
    await web.until(lambda: web.has == {"spiffe://web": "key 2", "spiffe://late": "key 3", "a": "1"})
    assert {event.type_url for event in node.control.events} == {CLUSTER}
    cached = b"".join(path.read_bytes() for path in (node.directory / "cache").glob("*"))
    assert b"key" not in cached


async def test_a_proxy_that_is_not_of_this_node_is_refused(node: Node) -> None:
    for name in ("node~n2", "sidecar~n1~shop~web-2", "whoever"):
        stranger = await node.proxy(name)
        stranger.client.subscribe(CLUSTER, ["a"])
        await stranger.until(lambda stranger=stranger: bool(stranger.ended))
        assert (stranger.ended[0].code, stranger.has) == ("PERMISSION_DENIED", {})
        assert stranger.ended[0].reason == f"this node has no proxy {name}"


async def test_the_newest_stream_is_the_proxy(node: Node) -> None:
    node.control.source.put(CLUSTER, "a")
    old = await node.proxy(str(WEB))
    old.client.subscribe(CLUSTER, ["a"])
    await old.until(lambda: old.has == {"a": "1"})
    new = await node.proxy(str(WEB))
    new.client.subscribe(CLUSTER, ["a"])
    await new.until(lambda: new.has == {"a": "1"})
    await old.until(lambda: bool(old.ended))


async def test_a_refusal_is_seen_here_and_there(node: Node) -> None:
    node.control.source.put(CLUSTER, "a", "bad")
    web = await node.proxy(str(WEB))
    web.refuses = "bad"
    web.client.subscribe(CLUSTER, ["a"])
    version = node.control.source.put(CLUSTER, "a", "bad")
    await node.control.until(Nacked(CLUSTER, {"a": version}, "a: is refused"))
    found = {status.proxy: status for status in node.relay.statuses()}
    assert found[WEB].refusals == ((CLUSTER, "a", "is refused"),)
    assert (found[WEB].connected, found[WEB].upstream, found[NODE].connected) == (True, True, False)


async def test_a_proxy_that_is_not_wanted_any_more_is_forgotten(node: Node) -> None:
    node.control.source.put(CLUSTER, "a")
    web = await node.proxy(str(WEB))
    web.client.subscribe(CLUSTER, ["a"])
    await web.until(lambda: web.has == {"a": "1"})
    cache = node.directory / "cache" / f"{WEB}.xds"
    async with asyncio.timeout(30):
        while not cache.exists():
            await asyncio.sleep(0.01)
    node.relay.want({NODE})
    await node.control.until_closed(1)
    await web.until(lambda: any(end.code == "PERMISSION_DENIED" for end in web.ended))
    async with asyncio.timeout(30):
        while cache.exists():
            await asyncio.sleep(0.01)


async def test_caches_that_an_earlier_agent_left_are_forgotten_but_for_those_that_are_wanted(node: Node) -> None:
    cache = node.directory / "cache"
    cache.mkdir(exist_ok=True)
    for name in (f"{WEB}.xds", "sidecar~n1~shop~web-0.xds", "sidecar~n1~shop~web-0.damaged", "node.xds"):
        (cache / name).touch()
    node.relay.forget_others()
    assert {path.name for path in cache.iterdir()} == {f"{WEB}.xds", "node.xds"}
