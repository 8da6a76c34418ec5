"""The delta client against a real server that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from tests.fakes.xds_host import FakeHost, serving
from tests.fakes.xds_source import FakeSource

from tulle.stream.client import (
    CLIENT_OPTIONS,
    Backoff,
    ClientEvent,
    Connected,
    DeltaClient,
    Disconnected,
    Update,
)
from tulle.stream.protocol import Acked, Nacked, Subscribed
from tulle.xds.type_urls import CLUSTER, VIRTUAL_HOST

Event = TypeVar("Event", Connected, Disconnected, Update)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
async def host(source: FakeSource) -> FakeHost:
    return FakeHost(source)


class Caller:
    """Takes what comes, and remembers the versions it has."""

    def __init__(self, address: str) -> None:
        self.held: dict[str, dict[str, str]] = {}
        # The channel's own wait between attempts would only make the tests slow.
        options = (*CLIENT_OPTIONS, ("grpc.initial_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 50))
        self.channel = grpc.aio.insecure_channel(address, options)
        self.client = DeltaClient(
            lambda: self.channel,
            base_pb2.Node(id="agent~a"),
            lambda type_url: self.held.get(type_url, {}),
            lambda: 0.5,
            Backoff(first=0.01, limit=0.05),
        )

    def take(self, update: Update) -> None:
        held = self.held.setdefault(update.type_url, {})
        held.update((resource.name, resource.version) for resource in update.resources)
        self.client.ack(update)


@pytest.fixture
async def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/xds.sock"


@pytest.fixture
async def caller(address: str) -> AsyncIterator[Caller]:
    made = Caller(address)
    yield made
    await made.channel.close()


async def until(events: AsyncIterator[ClientEvent], kind: type[Event]) -> Event:
    async with asyncio.timeout(60):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")


async def test_what_arrives_can_be_sent_on(source: FakeSource, host: FakeHost, address: str, caller: Caller) -> None:
    version = source.put(VIRTUAL_HOST, "shop/a")
    caller.client.subscribe(VIRTUAL_HOST, ["shop/a", "shop/none"])
    async with serving(host, address), aclosing(caller.client.events()) as events:
        update = await until(events, Update)
        assert caller.client.connected
        assert update.resources == (source.resources[VIRTUAL_HOST, "shop/a"],)
        assert update.removed == ("shop/none",)
        caller.take(update)
        await host.until(Acked(VIRTUAL_HOST, {"shop/a": version, "shop/none": None}))
    assert not caller.client.connected


async def test_a_refusal_reaches_the_server(source: FakeSource, host: FakeHost, address: str, caller: Caller) -> None:
    version = source.put(CLUSTER, "a")
    caller.client.subscribe(CLUSTER, ["a"])
    async with serving(host, address), aclosing(caller.client.events()) as events:
        caller.client.nack(await until(events, Update), "no")
        await host.until(Nacked(CLUSTER, {"a": version}, "no"))


async def test_wishes_may_change_while_connected(
    source: FakeSource, host: FakeHost, address: str, caller: Caller
) -> None:
    source.put(CLUSTER, "a")
    async with serving(host, address), aclosing(caller.client.events()) as events:
        await until(events, Connected)
        caller.client.subscribe(CLUSTER, ["a"])
        caller.take(await until(events, Update))
        caller.client.unsubscribe(CLUSTER, ["a"])
        caller.client.subscribe(CLUSTER, ["b"])
        caller.take(await until(events, Update))
        await host.until(Subscribed(CLUSTER, ("b",)))
        assert host.streams[0].subscriptions(CLUSTER) == caller.client.wanted(CLUSTER) == {"b"}


async def test_a_server_that_comes_back_sends_only_what_differs(
    source: FakeSource, host: FakeHost, address: str, caller: Caller
) -> None:
    source.put(CLUSTER, "same")
    source.put(CLUSTER, "other")
    caller.client.subscribe(CLUSTER, ["same", "other"])
    async with aclosing(caller.client.events()) as events:
        await until(events, Disconnected)
        async with serving(host, address):
            first = await until(events, Update)
            caller.take(first)
        await until(events, Disconnected)
        source.put(CLUSTER, "other", "2")
        async with serving(host, address):
            second = await until(events, Update)
            assert [resource.name for resource in second.resources] == ["other"]
            caller.client.ack(first)
            caller.take(second)
            await host.until(Acked(CLUSTER, {"other": second.resources[0].version}))


async def test_a_stream_that_the_server_closes_is_opened_again(
    source: FakeSource, host: FakeHost, address: str, caller: Caller
) -> None:
    source.put(CLUSTER, "a")
    caller.client.subscribe(CLUSTER, ["a"])
    async with serving(host, address), aclosing(caller.client.events()) as events:
        caller.take(await until(events, Update))
        host.streams[0].close()
        assert (await until(events, Disconnected)).code == "OK"
        await until(events, Connected)
        await host.until_closed(1)


async def test_a_refused_client_says_why_and_tries_again(
    source: FakeSource, host: FakeHost, address: str, caller: Caller
) -> None:
    source.put(CLUSTER, "a")
    host.refusal = "not yet"
    caller.client.subscribe(CLUSTER, ["a"])
    async with serving(host, address), aclosing(caller.client.events()) as events:
        assert await until(events, Disconnected) == Disconnected("PERMISSION_DENIED", "not yet")
        host.refusal = ""
        await until(events, Update)


async def test_cancelling_the_caller_hangs_up(source: FakeSource, host: FakeHost, address: str, caller: Caller) -> None:
    source.put(CLUSTER, "a")
    caller.client.subscribe(CLUSTER, ["a"])

    async def consume() -> None:
        async with aclosing(caller.client.events()) as events:
            async for event in events:
                if isinstance(event, Update):
                    caller.take(event)

    async with serving(host, address):
        task = asyncio.create_task(consume())
        await host.until(Subscribed(CLUSTER, ("a",)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await host.until_closed(1)


class Deaf:
    """A channel and its call, as grpc.aio behaves where a server has just gone: a cancellation reaches what the call
    awaits and not who awaits the call, who is told of the server instead."""

    def __init__(self) -> None:
        self.calls = 0

    def stream_stream(self, *_: object, **__: object) -> "Deaf":
        return self

    def __call__(self) -> "Deaf":
        self.calls += 1
        return self

    async def wait_for_connection(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing) from None

    def cancel(self) -> None:
        pass


async def test_a_cancellation_that_grpc_keeps_to_itself_hangs_up_too() -> None:
    channel = Deaf()
    client = DeltaClient(lambda: channel, base_pb2.Node(id="agent~a"), lambda _: {}, lambda: 0.0)  # type: ignore[arg-type,return-value]

    async def consume() -> None:
        async for _ in client.events():
            pass

    task = asyncio.create_task(consume())
    while not channel.calls:
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=20)
    assert done and task.cancelled()
    assert channel.calls == 1


@pytest.mark.parametrize(("failures", "bound"), [(0, 0.5), (1, 1.0), (4, 8.0), (5, 15.0), (10_000, 15.0)])
def test_waits_are_drawn_below_a_bound_that_doubles(failures: int, bound: float) -> None:
    assert Backoff().delay(failures, 1.0) == bound
    assert Backoff().delay(failures, 0.0) == 0.0
