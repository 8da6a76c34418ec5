"""Join tokens."""

from datetime import timedelta

import httpx
import pytest
from tests.fakes.backend import FakeBackend
from tests.unit.api.conftest import AuditLog, Json

from tulle.api.messages import Token


async def test_a_token(client: httpx.AsyncClient, backend: FakeBackend, audit: AuditLog) -> None:
    asked = {"node": "n1", "serviceAccounts": ["shop/web", "art/*"], "ttl": "30m"}
    made = await client.post("/v1/tokens", json=asked)
    assert (made.status_code, made.json()) == (201, {"token": "secret-token"})
    assert made.headers["Cache-Control"] == "no-store"
    assert backend.tokens == [("n1", ("shop/web", "art/*"), timedelta(minutes=30))]
    assert audit.entries[0]["objects"] == ["Token/n1", "shop/web", "art/*"]
    assert "secret-token" not in audit.lines[0]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "node"),
        ({"node": 3}, "node"),
        ({"node": "N!"}, "node"),
        ({"node": "n1", "serviceAccounts": ["web"]}, "serviceAccounts[0]"),
        ({"node": "n1", "serviceAccounts": ["shop/web", "*/web"]}, "serviceAccounts[1]"),
        ({"node": "n1", "serviceAccounts": ["shop/.."]}, "serviceAccounts[0]"),
        ({"node": "n1", "ttl": "soon"}, "ttl"),
        ({"node": "n1", "ttl": "0s"}, "ttl"),
        ({"node": "n1", "ttl": "169h"}, "ttl"),
        ({"node": "n1", "tll": "1h"}, "tll"),
        ([], ""),
    ],
)
async def test_refused(client: httpx.AsyncClient, backend: FakeBackend, asked: Json, path: str) -> None:
    refused = await client.post("/v1/tokens", json=asked)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["path"] == path
    assert backend.tokens == []


async def test_who_asks_is_told_what_to_write(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/tokens", json={"node": "n1", "serviceAccounts": ["web"], "tll": "1h"})
    ttl, account = refused.json()["problems"]
    assert account["message"].startswith("must be <namespace>/<service account>, or <namespace>/* ")
    assert ttl["hint"] == "did you mean `ttl`?"


def test_a_token_is_not_printed() -> None:
    assert "secret" not in repr(Token("secret"))
