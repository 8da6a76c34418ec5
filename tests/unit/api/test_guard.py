"""Who may ask, from which page, for how long."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from tests.fakes.backend import FakeBackend
from tests.unit.api.conftest import AuditLog
from tests.unit.api.test_resources import WEB, service

from tulle.api.app import create_api
from tulle.api.guard import Access
from tulle.model.names import ObjectRef
from tulle.store.protocol import Stored

TOKEN = "correct horse battery staple"


def client_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers)


@pytest.fixture
def locked(backend: FakeBackend, audit: AuditLog) -> FastAPI:
    return create_api(backend, Access(TOKEN, frozenset({"localhost", "mesh.example"})), audit)


async def test_the_token_opens(locked: FastAPI) -> None:
    for scheme in ("Bearer", "bearer"):
        async with client_of(locked, Authorization=f"{scheme} {TOKEN}") as client:
            assert (await client.get("/v1/services")).status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", "Bearer wrong", f"Bearer {TOKEN}x"])
async def test_anything_else_does_not(locked: FastAPI, audit: AuditLog, backend: FakeBackend, given: str) -> None:
    async with client_of(locked, Authorization=given) as client:
        for path in ("/v1/services", "/openapi.json", "/v1/nothing"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await client.put(WEB, json=service())).status_code == 401
    assert [(entry["caller"], entry["status"]) for entry in audit.entries] == [("nobody", 401)]
    assert (await backend.store.list()).revision == 0
    assert TOKEN not in "".join(audit.lines)


async def test_health_needs_no_token(locked: FastAPI) -> None:
    async with client_of(locked) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


def test_an_empty_token_is_none() -> None:
    with pytest.raises(ValueError, match="everybody"):
        Access("")


def test_a_token_is_not_printed() -> None:
    assert TOKEN not in repr(Access(TOKEN))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "", "[", "[::2]"]
)
async def test_a_name_that_is_not_ours(app: FastAPI, backend: FakeBackend, host: str) -> None:
    async with client_of(app) as client:
        for method in ("GET", "PUT"):
            refused = await client.request(method, WEB, json=service(), headers={"Host": host})
            assert refused.status_code == 421
    assert (await backend.store.list()).revision == 0


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"])
async def test_a_name_that_is_ours(app: FastAPI, host: str) -> None:
    async with client_of(app) as client:
        assert (await client.get("/v1/services", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:9090", "http://localhost", "", "http://[", "x://localhost:8080"],
)
async def test_a_page_from_elsewhere(app: FastAPI, origin: str) -> None:
    async with client_of(app) as client:
        assert (await client.get("/v1/services", headers={"Origin": origin})).status_code == 403


async def test_a_page_of_our_own(app: FastAPI) -> None:
    async with client_of(app) as client:
        own = await client.get("/v1/services", headers={"Origin": "http://localhost:8080"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


class StuckBackend(FakeBackend):
    def __init__(self) -> None:
        super().__init__()
        self.store = StuckStore()


class StuckStore(type(FakeBackend().store)):  # type: ignore[misc]
    async def get(self, ref: ObjectRef) -> Stored | None:
        await asyncio.Event().wait()
        return None


async def test_a_request_takes_only_so_long(audit: AuditLog) -> None:
    app = create_api(StuckBackend(), Access(None, seconds=0.01), audit)
    async with client_of(app) as client:
        late = await client.put(WEB, json=service())
    assert (late.status_code, late.json()["reason"]) == (504, "Timeout")
    assert audit.entries[0]["status"] == 504


async def test_a_failure_says_nothing_about_the_inside(audit: AuditLog, backend: FakeBackend) -> None:
    def broken(ref: ObjectRef) -> None:
        raise RuntimeError("secret detail")

    backend.status = broken  # type: ignore[assignment,method-assign]
    app = create_api(backend, Access(None), audit)
    async with client_of(app) as client:
        failed = await client.put(WEB, json=service())
    assert failed.status_code == 500
    assert failed.headers["content-type"] == "application/problem+json"
    assert "secret" not in failed.text
    assert (audit.entries[0]["status"], audit.entries[0]["revision"]) == (500, 1)
