"""Several objects at once: all of them, or none and everything that is wrong."""

import httpx
from tests.fakes.backend import FakeBackend
from tests.unit.api.conftest import AuditLog
from tests.unit.api.test_resources import service

from tulle.api.apply import MAX_OBJECTS

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


async def test_what_became_of_each(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/apply", json={"items": [service("web"), service("db", namespace="shop"), NAMESPACE]})
    assert first.status_code == 200
    assert first.json()["items"][1] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "db",
        "outcome": "created",
        "resourceVersion": "1",
    }
    second = await client.post("/v1/apply", json={"items": [service("web", port=81), NAMESPACE, service("new")]})
    seen = [(item["name"], item["outcome"], item["resourceVersion"]) for item in second.json()["items"]]
    assert seen == [("web", "configured", "2"), ("shop", "unchanged", "1"), ("new", "created", "2")]


async def test_one_bad_object_and_nothing_is_written(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    bad = service("bad", port=0) | {"apiVersion": "v7"}
    refused = await client.post("/v1/apply", json={"items": [service(), bad, service("worse", port=-1), 3]})
    assert refused.status_code == 422
    named = {problem["resource"] for problem in refused.json()["problems"]}
    assert len(named) == 3
    assert any("items[3]" in name for name in named)
    assert (await backend.store.list()).revision == 0


async def test_one_conflict_and_nothing_is_written(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    await client.post("/v1/apply", json={"items": [service()]})
    refused = await client.post("/v1/apply", json={"items": [service("new"), service(port=81, resourceVersion="7")]})
    assert (refused.status_code, refused.json()["resource"]) == (409, "Service/default/web")
    assert (await backend.store.list()).revision == 1


async def test_the_same_object_twice(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/apply", json={"items": [service(), service(namespace="default")]})
    assert refused.status_code == 422
    assert "items[1] is the same object as items[0]" in refused.json()["problems"][0]["message"]


async def test_a_dry_run_stores_nothing(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    would = await client.post("/v1/apply", json={"items": [service()]}, params={"dryRun": "All"})
    body = would.json()
    assert (body["dryRun"], body["items"][0]["outcome"], body["items"][0]["resourceVersion"]) == (True, "created", "")
    assert (await backend.store.list()).revision == 0


async def test_nothing_to_apply(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/apply", json={"items": []})).json() == {"items": [], "dryRun": False}


async def test_too_many(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/apply", json={"items": [0] * (MAX_OBJECTS + 1)})
    assert refused.status_code == 413


async def test_no_list(client: httpx.AsyncClient) -> None:
    for body in ([], {}, {"items": 3}, service()):
        refused = await client.post("/v1/apply", json=body)
        assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")


async def test_audit_names_all_objects(client: httpx.AsyncClient, audit: AuditLog) -> None:
    await client.post("/v1/apply", json={"items": [service(), NAMESPACE]})
    assert audit.entries[0]["objects"] == ["Service/default/web", "Namespace/shop"]
    assert audit.entries[0]["revision"] == 1
