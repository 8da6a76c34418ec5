"""A control plane counts as away after a while without it, and as back as soon as it answers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
from tests.fakes.xds_host import FakeHost
from tests.fakes.xds_source import FakeSource

from tulle.agent.upstream import Upstream, UpstreamTimes
from tulle.stream.client import CLIENT_OPTIONS, Backoff, Update
from tulle.stream.server import SERVER_OPTIONS, XdsService
from tulle.xds.type_urls import CLUSTER

TIMES = UpstreamTimes(Backoff(first=0.01, limit=0.02), away=0, present=3600)


class Heard:
    """A conversation that writes down what it is told."""

    def __init__(self) -> None:
        self.asks = True
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def held(self, type_url: str) -> Mapping[str, str]:
        return {}

    def opened(self) -> None:
        self.told.put_nowait("opened")

    def lost(self) -> None:
        pass

    def received(self, update: Update) -> None:
        self.told.put_nowait("received")

    def away(self, away: bool) -> None:
        self.told.put_nowait("away" if away else "present")

    async def next(self, wanted: str) -> None:
        async with asyncio.timeout(30):
            while await self.told.get() != wanted:
                pass


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path / "s"


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[FakeHost]:
    host = FakeHost(FakeSource())
    host.source.put(CLUSTER, "a")
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((XdsService(host).handler,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    yield host
    await server.stop(None)


@contextlib.asynccontextmanager
async def speaking(path: Path, heard: Heard) -> AsyncIterator[Upstream]:
    async with grpc.aio.insecure_channel(f"unix:{path}", options=CLIENT_OPTIONS) as channel:
        upstream = Upstream("n1", lambda: channel, heard, lambda: 1.0, TIMES)
        running = asyncio.create_task(upstream.run())
        yield upstream
        running.cancel()
        await asyncio.wait([running])


async def test_away_back_and_away_again(path: Path) -> None:
    heard = Heard()
    async with speaking(path, heard) as upstream:
        upstream.client.subscribe(CLUSTER, ["a"])
        upstream.wake()
        await heard.next("away")
        async with serving(path):
            await heard.next("present")
            await heard.next("received")
            assert upstream.connected
        await heard.next("away")
        assert not upstream.connected


async def test_an_absence_is_logged_once_and_its_end_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tulle.agent.upstream")

    def levels() -> list[str]:
        return [record.levelname for record in caplog.records if record.name == "tulle.agent.upstream"]

    heard = Heard()
    async with speaking(path, heard) as upstream:
        upstream.client.subscribe(CLUSTER, ["a"])
        upstream.wake()
        async with asyncio.timeout(30):
            while levels().count("DEBUG") < 3:
                await asyncio.sleep(0.01)
        async with serving(path):
            await heard.next("received")
    assert [level for level in levels() if level != "DEBUG"][:2] == ["WARNING", "INFO"]
    assert levels()[0] == "WARNING"


async def test_a_stream_that_is_refused_is_no_control_plane(path: Path) -> None:
    heard = Heard()
    async with serving(path) as host, speaking(path, heard) as upstream:
        host.refusal = "not you"
        upstream.client.subscribe(CLUSTER, ["a"])
        upstream.wake()
        await heard.next("away")
        host.refusal = ""
        await heard.next("present")


async def test_nothing_to_ask_no_stream(path: Path) -> None:
    heard = Heard()
    heard.asks = False
    async with speaking(path, heard) as upstream:
        upstream.wake()
        await asyncio.sleep(0.05)
        assert heard.told.empty()
        heard.asks = True
        upstream.wake()
        await heard.next("away")
