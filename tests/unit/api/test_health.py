"""Health and version."""

import httpx
from tests.fakes.backend import FakeBackend

from tulle.model.problem import Problem


async def test_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == (await client.get("/readyz")).json() == {"status": "ok"}
    assert (await client.get("/v1/version")).json() == {"version": "1.2.3"}


async def test_not_ready(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.problems = (Problem("store", "cannot be read", "free some space"),)
    assert (await client.get("/healthz")).status_code == 200
    refused = await client.get("/readyz")
    assert (refused.status_code, refused.json()["reason"]) == (503, "NotReady")
    assert "cannot be read" in refused.json()["detail"]
