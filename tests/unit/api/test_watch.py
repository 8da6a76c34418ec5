"""Watches, over a real socket: the events of a list that goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from msgspec import Struct
from tests.fakes.backend import FakeBackend
from tests.fakes.told_backend import ToldBackend
from tests.unit.api.conftest import AuditLog, Json
from tests.unit.api.test_resources import service

from tulle.api.app import create_api
from tulle.api.backend import Status
from tulle.api.guard import Access
from tulle.model.conditions import ACCEPTED, Condition
from tulle.model.names import ObjectRef
from tulle.store.limits import Limits
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Put

SERVICES = "/v1/namespaces/shop/services"
DEADLINE = 20  # seconds; only a test that hangs gets there


class Frame(Struct, frozen=True):
    event: str
    id: str
    data: Json

    @property
    def name(self) -> str:
        return str(self.data["metadata"]["name"])


@asynccontextmanager
async def served(app: FastAPI, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server on a unix socket."""
    server = uvicorn.Server(uvicorn.Config(app, uds=str(path), log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://localhost", timeout=DEADLINE
    ) as client:
        yield client
    server.should_exit = True
    await serving


@pytest.fixture
async def client(app: FastAPI, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app, tmp_path / "api.sock") as client:
        yield client


class Watching:
    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.aiter_lines()

    async def frame(self) -> Frame:
        """The next event. Comments keep a connection alive and are none."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line and not line.startswith(":"):
                field, _, value = line.partition(": ")
                fields[field] = value
            elif fields:
                return Frame(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
        raise EOFError

    async def frames(self, count: int) -> list[Frame]:
        return [await asyncio.wait_for(self.frame(), DEADLINE) for _ in range(count)]


@asynccontextmanager
async def watching(client: httpx.AsyncClient, path: str = SERVICES, **params: str) -> AsyncIterator[Watching]:
    async with client.stream("GET", path, params={"watch": "true", **params}) as response:
        yield Watching(response)


async def put(client: httpx.AsyncClient, name: str, path: str = SERVICES, **change: Json) -> None:
    assert (await client.put(f"{path}/{name}", json=service(name, **change))).is_success


async def test_what_there_is_then_what_happens(client: httpx.AsyncClient) -> None:
    await put(client, "web")
    async with watching(client) as watch:
        first, bookmark = await watch.frames(2)
        assert (first.event, first.id, first.name) == ("ADDED", "", "web")
        assert (bookmark.event, bookmark.id, bookmark.data) == ("BOOKMARK", "1", {"resourceVersion": "1"})
        await put(client, "db")
        await put(client, "web", port=81)
        await client.delete(f"{SERVICES}/web")
        frames = await watch.frames(3)
    assert [(frame.event, frame.id, frame.name) for frame in frames] == [
        ("ADDED", "2", "db"),
        ("MODIFIED", "3", "web"),
        ("DELETED", "4", "web"),
    ]
    assert frames[1].data["spec"]["ports"][0]["port"] == 81
    assert frames[1].data["status"]["conditions"]
    assert frames[2].data["metadata"] == {"name": "web", "namespace": "shop", "resourceVersion": "4"}


def say(backend: ToldBackend, words: str, *names: str) -> None:
    """Of these objects the words are true from now on."""
    refs = frozenset(ObjectRef("v1", "Service", "shop", name) for name in names)
    for ref in refs:
        backend.known_statuses[ref] = Status((Condition(ACCEPTED, "False", "Invalid", words),))
    for watch in backend.watches:
        watch.told.put_nowait(refs)


def message(frame: Frame) -> str:
    return str(frame.data["status"]["conditions"][0]["message"])


async def test_a_status_that_changes(client: httpx.AsyncClient, backend: ToldBackend) -> None:
    await put(client, "web")
    await put(client, "db")
    async with watching(client) as watch:
        await watch.frames(3)
        say(backend, "refused", "web", "db")
        frames = await watch.frames(2)
        assert [(f.event, f.id, f.name, message(f)) for f in frames] == [
            ("MODIFIED", "", "db", "refused"),
            ("MODIFIED", "", "web", "refused"),
        ]
        assert frames[1].data["metadata"]["resourceVersion"] == "1"
        say(backend, "refused", "web")  # which has been shown already
        say(backend, "refused again", "db")
        (frame,) = await watch.frames(1)
        assert (frame.name, message(frame)) == ("db", "refused again")
        await put(client, "web", port=81)
        (frame,) = await watch.frames(1)
        assert (frame.name, frame.id, message(frame)) == ("web", "3", "refused")


async def test_the_status_of_what_is_not_shown(client: httpx.AsyncClient, backend: ToldBackend) -> None:
    await put(client, "web", labels={"tier": "front"})
    await put(client, "db")
    async with watching(client, labelSelector="tier=front") as watch:
        await watch.frames(2)
        await client.delete(f"{SERVICES}/web")
        await watch.frames(1)
        say(backend, "refused", "web", "db", "nobody")
        await put(client, "app", labels={"tier": "front"})
        assert [frame.name for frame in await watch.frames(1)] == ["app"]


async def test_whoever_goes_on_from_a_revision_gets_statuses_that_changed_meanwhile(
    client: httpx.AsyncClient, backend: ToldBackend
) -> None:
    for name in ("old", "new"):
        await put(client, name)
    say(backend, "refused", "old")
    async with watching(client, resourceVersion="1") as watch:
        frames = await watch.frames(2)
        assert [(f.event, f.id, f.name) for f in frames] == [("MODIFIED", "", "old"), ("ADDED", "2", "new")]
        assert message(frames[0]) == "refused"
        say(backend, "refused again", "old")
        assert message((await watch.frames(1))[0]) == "refused again"


async def test_a_watch_that_ends_is_no_longer_told(client: httpx.AsyncClient, backend: ToldBackend) -> None:
    async with watching(client) as watch:
        await watch.frames(1)
        assert len(backend.watches) == 1
        await backend.store.close()
        await watch.frames(1)
        with pytest.raises(EOFError):
            await watch.frame()
    assert backend.watches == []


async def test_from_a_revision_nothing_is_missed(client: httpx.AsyncClient) -> None:
    for port in (80, 81, 82):
        await put(client, "web", port=port)
    version = (await client.get(SERVICES)).json()["metadata"]["resourceVersion"]
    await put(client, "web", port=83)
    async with watching(client, resourceVersion=version) as watch:
        (frame,) = await watch.frames(1)
        assert frame.data["spec"]["ports"][0]["port"] == 83
    async with client.stream(
        "GET", SERVICES, params={"watch": "true", "resourceVersion": version}, headers={"Last-Event-ID": "2"}
    ) as response:
        frames = await Watching(response).frames(2)
        assert [frame.id for frame in frames] == ["3", "4"]


async def test_only_what_was_asked_for(client: httpx.AsyncClient) -> None:
    async with watching(client, labelSelector="tier=front") as watch:
        await watch.frames(1)
        await put(client, "other", path="/v1/namespaces/art/services", labels={"tier": "front"})
        await client.put(
            "/v1/namespaces/shop", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        )
        await put(client, "web", labels={"tier": "front"})
        await put(client, "web", labels={"tier": "back"})
        frames = await watch.frames(2)
    assert [(frame.event, frame.name) for frame in frames] == [("ADDED", "web"), ("DELETED", "web")]


async def test_one_write_of_several_objects_ends_with_its_revision(client: httpx.AsyncClient) -> None:
    async with watching(client) as watch:
        await watch.frames(1)
        items = [service(name, namespace="shop") for name in "abc"]
        await client.post("/v1/apply", json={"items": items})
        frames = await watch.frames(3)
    assert [(frame.name, frame.id) for frame in frames] == [("a", ""), ("b", ""), ("c", "1")]


async def test_a_quiet_watch_gets_bookmarks(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    async with watching(client) as watch:
        await watch.frames(1)
        ref = ObjectRef("v1", "Namespace", "", "busy")
        for number in range(500):
            await backend.store.write([Put(ref, b"%d" % number)])
        (bookmark,) = await watch.frames(1)
    assert (bookmark.event, bookmark.id) == ("BOOKMARK", "500")


async def test_from_too_long_ago(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.store = MemoryStore(Limits(events=2))
    for port in (80, 81, 82, 83):
        await put(client, "web", port=port)
    async with watching(client, resourceVersion="1") as watch:
        (frame,) = await watch.frames(1)
        assert (frame.event, frame.data["status"], frame.data["reason"]) == ("ERROR", 410, "Expired")
        with pytest.raises(EOFError):
            await watch.frame()


async def test_a_store_that_closes_ends_the_watch(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    async with watching(client) as watch:
        await watch.frames(1)
        await backend.store.close()
        (frame,) = await watch.frames(1)
        assert (frame.event, frame.data["status"]) == ("ERROR", 503)


async def test_a_watch_may_take_longer_than_a_request(backend: FakeBackend, audit: AuditLog, tmp_path: Path) -> None:
    app = create_api(backend, Access(None, seconds=0.05), audit)
    async with served(app, tmp_path / "api.sock") as client, watching(client) as watch:
        await watch.frames(1)
        await asyncio.sleep(0.2)
        await put(client, "web")
        assert (await watch.frames(1))[0].name == "web"
