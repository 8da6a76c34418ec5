"""Bodies within limits."""

import httpx
import pytest
from tests.unit.api.test_resources import WEB, service

from tulle.api.body import MAX_BYTES, MAX_DEPTH, depth


async def test_too_large(client: httpx.AsyncClient) -> None:
    large = service(annotations={"note": "x" * MAX_BYTES})
    assert (await client.put(WEB, json=large)).status_code == 413


async def test_too_deep(client: httpx.AsyncClient) -> None:
    body = b"[" * 1_000_000
    refused = await client.put(WEB, content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["reason"]) == (400, "TooDeep")


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/yaml"])
async def test_a_type_that_a_foreign_page_could_send(client: httpx.AsyncClient, media_type: str) -> None:
    refused = await client.put(WEB, content=b"{}", headers={"content-type": media_type})
    assert refused.status_code == 415


async def test_a_type_with_parameters(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (
        await client.put(WEB, content=httpx.Request("PUT", "/", json=service()).content, headers=headers)
    ).is_success


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"3", 0),
        (b"[]", 1),
        (b'{"a":[{}]}', 3),
        (b'["[[[[", "\\"[[["]', 1),
        (b'["\\\\", [[]]]', 3),
        (b'"unclosed [[', 2),
        (b"]]]][[", 0),
    ],
)
def test_depth(text: bytes, expected: int) -> None:
    assert depth(text) == expected


def test_the_limit_is_more_than_any_kind_needs() -> None:
    assert MAX_DEPTH > 20
