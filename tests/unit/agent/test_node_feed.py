"""An agent hears what it has to run and where names are, and still knows both when the control plane is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import msgspec
from tests.fakes.xds_host import FakeHost
from tests.fakes.xds_source import FakeSource

from tulle.agent.link import UpstreamSettings
from tulle.agent.node_feed import NodeFeed
from tulle.agent.upstream import UpstreamTimes
from tulle.model.keys import NameKey
from tulle.stream.client import CLIENT_OPTIONS, Backoff
from tulle.stream.server import SERVER_OPTIONS, XdsService
from tulle.view.types import NameView, NodeView
from tulle.xds.resource import Resource
from tulle.xds.translate import translate
from tulle.xds.type_urls import NAME

VIEW = NodeView("n1", "mesh.test", ())
OTHER = NodeView("n1", "other.test", ())
CATALOG = NameView(NameKey("shop", "catalog"), ("240.240.0.1", "fd74:756c:6c65:1::1"))


class Control:
    """A control plane on a socket, which can stop and start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = FakeHost(FakeSource())
        self._server: grpc.aio.Server | None = None

    def put(self, made: Resource) -> None:
        self.host.source.resources[made.type_url, made.name] = made
        self.host.changed((made.type_url, made.name))

    async def start(self) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((XdsService(self.host).handler,))
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)


@contextlib.asynccontextmanager
async def feeding(directory: Path, opened: Callable[[], None] = lambda: None) -> AsyncIterator[NodeFeed]:
    async with grpc.aio.insecure_channel(f"unix:{directory}/s", options=CLIENT_OPTIONS) as channel:
        times = UpstreamTimes(Backoff(first=0.01, limit=0.02), away=0.2, present=0.1)
        upstream = UpstreamSettings(lambda: channel, lambda: 1.0, times)
        feed = NodeFeed("n1", "agent~n1", directory / "cache" / "node.xds", upstream, 30, opened)
        running = asyncio.create_task(feed.run())
        yield feed
        running.cancel()
        await asyncio.wait([running])


async def until(feed: NodeFeed, view: NodeView) -> None:
    async with asyncio.timeout(30):
        async for found in feed.views():
            if found == view:
                return


async def test_views_and_names_live_and_from_disk(tmp_path: Path) -> None:
    control = Control(tmp_path / "s")
    await control.start()
    control.put(translate(VIEW))
    control.put(translate(CATALOG))
    async with feeding(tmp_path) as feed:
        await until(feed, VIEW)
        assert await feed.lookup("shop", "catalog") == CATALOG.addresses
        assert await feed.lookup("shop", "nobody") is None
        control.put(translate(OTHER))
        await until(feed, OTHER)
        moved = msgspec.structs.replace(CATALOG, addresses=("240.240.0.2",))
        control.put(translate(moved))
        async with asyncio.timeout(30):
            while await feed.lookup("shop", "catalog") != moved.addresses:
                await asyncio.sleep(0)
        await control.stop()
        assert await feed.lookup("shop", "catalog") == moved.addresses
    async with feeding(tmp_path) as feed:
        await until(feed, OTHER)
        assert await feed.lookup("shop", "catalog") == moved.addresses
        assert await feed.lookup("shop", "unheard-of") is None
        assert not feed.connected


async def test_a_name_that_appears_is_found(tmp_path: Path) -> None:
    control = Control(tmp_path / "s")
    await control.start()
    async with feeding(tmp_path) as feed:
        assert await feed.lookup("shop", "catalog") is None
        control.put(translate(CATALOG))
        async with asyncio.timeout(30):
            while await feed.lookup("shop", "catalog") is None:
                await asyncio.sleep(0)
        assert sorted(name for type_url, name in control.host.source.resources if type_url == NAME) == ["shop/catalog"]
    await control.stop()


async def test_every_new_stream_is_told_of(tmp_path: Path) -> None:
    """What the agent told the control plane may be forgotten there."""
    control, opened = Control(tmp_path / "s"), asyncio.Event()
    async with feeding(tmp_path, opened.set), asyncio.timeout(30):
        for number in (1, 2):
            await control.start()
            await opened.wait()
            # A stream that the server has not taken yet is moved to the next server by gRPC without a word.
            while not control.host.streams:
                await asyncio.sleep(0)
            await control.stop()
            await control.host.until_closed(number)
            opened.clear()
