"""Objects one by one and in lists."""

import httpx
import pytest
from tests.fakes.backend import FakeBackend
from tests.unit.api.conftest import AuditLog, Json

from tulle.model.names import ObjectRef
from tulle.model.parse import decode_json

WEB = "/v1/namespaces/shop/services/web"


def service(name: str = "web", port: int = 80, **metadata: Json) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **metadata},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port}]},
    }


async def test_put_creates_then_configures_then_leaves_alone(client: httpx.AsyncClient) -> None:
    created = await client.put(WEB, json=service())
    assert (created.status_code, created.headers["Tulle-Outcome"], created.headers["ETag"]) == (201, "created", '"1"')
    configured = await client.put(WEB, json=service(port=81))
    assert (configured.status_code, configured.headers["Tulle-Outcome"]) == (200, "configured")
    unchanged = await client.put(WEB, json=service(port=81))
    assert (unchanged.status_code, unchanged.headers["Tulle-Outcome"]) == (200, "unchanged")
    assert unchanged.json() == configured.json()


async def test_an_object_has_what_was_sent_and_the_server_s_fields(client: httpx.AsyncClient) -> None:
    await client.put(WEB, json=service(labels={"tier": "front"}))
    shown = (await client.get(WEB)).json()
    assert shown["metadata"] == {
        "name": "web",
        "namespace": "shop",
        "labels": {"tier": "front"},
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2023-11-14T22:13:20Z",
    }
    assert shown["spec"] == service()["spec"]
    assert shown["status"]["conditions"][0]["type"] == "Accepted"


async def test_the_generation_counts_changes_of_the_spec(client: httpx.AsyncClient) -> None:
    await client.put("/v1/namespaces/shop/services/other", json=service("other"))
    seen = []
    for sent in (service(), service(labels={"tier": "front"}), service(port=81), service(port=81, generation=7)):
        metadata = (await client.put(WEB, json=sent)).json()["metadata"]
        seen.append((metadata["resourceVersion"], metadata["generation"]))
    assert seen == [("2", 1), ("3", 1), ("4", 2), ("4", 2)]
    would = (await client.put(WEB, json=service(port=82), params={"dryRun": "All"})).json()["metadata"]
    assert would["generation"] == 3
    assert (await client.put(WEB, json=service(port=82), headers={"If-Match": '"2"'})).status_code == 409


async def test_what_was_read_can_be_sent_again(client: httpx.AsyncClient) -> None:
    await client.put(WEB, json=service())
    again = await client.put(WEB, json=(await client.get(WEB)).json())
    assert (again.status_code, again.headers["Tulle-Outcome"]) == (200, "unchanged")


async def test_only_what_the_user_declared_is_stored(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    await client.put(WEB, json=service())
    await client.put(WEB, json={**(await client.get(WEB)).json(), "spec": service(port=81)["spec"]})
    stored = await backend.store.get(ObjectRef("v1", "Service", "shop", "web"))
    assert stored is not None
    assert b"status" not in stored.body
    assert decode_json(stored.body).metadata.resource_version == ""


async def test_post_creates_once(client: httpx.AsyncClient) -> None:
    for path in ("/v1/namespaces/shop/services", "/v1/services"):
        name = path.rsplit("/", 2)[1]
        assert (await client.post(path, json=service(name))).status_code == 201
        again = await client.post(path, json=service(name))
        assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")


async def test_a_cluster_scoped_object(client: httpx.AsyncClient) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert (await client.put("/v1/namespaces/shop", json=namespace)).status_code == 201
    assert "namespace" not in (await client.get("/v1/namespaces/shop")).json()["metadata"]
    assert (await client.get("/v1/namespaces/shop/status")).json()["conditions"]
    assert (await client.get("/v1/namespaces")).json()["items"][0]["metadata"]["name"] == "shop"
    assert (await client.delete("/v1/namespaces/shop")).json() == {"resource": "Namespace/shop", "resourceVersion": "2"}


async def test_delete(client: httpx.AsyncClient) -> None:
    await client.put(WEB, json=service())
    assert (await client.delete(WEB)).status_code == 200
    for response in (await client.get(WEB), await client.delete(WEB), await client.get(WEB + "/status")):
        assert response.status_code == 404
        assert response.json()["detail"] == "Service/shop/web does not exist"


async def test_status(client: httpx.AsyncClient) -> None:
    await client.put(WEB, json=service())
    (condition,) = (await client.get(WEB + "/status")).json()["conditions"]
    assert condition == {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "web is fine"}


@pytest.mark.parametrize("how", ["body", "header"])
async def test_writing_what_somebody_else_has_changed(client: httpx.AsyncClient, how: str) -> None:
    await client.put(WEB, json=service())
    await client.put(WEB, json=service(port=81))
    stale = service(port=82, **({"resourceVersion": "1"} if how == "body" else {}))
    refused = await client.put(WEB, json=stale, headers={"If-Match": '"1"'} if how == "header" else {})
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    body = refused.json()
    assert (body["reason"], body["resource"]) == ("Conflict", "Service/shop/web")
    assert (body["expectedRevision"], body["actualRevision"]) == (1, 2)
    fresh = await client.put(WEB, json=service(port=82, resourceVersion="2"), headers={"If-Match": '"2"'})
    assert fresh.status_code == 200


async def test_deleting_what_somebody_else_has_changed(client: httpx.AsyncClient) -> None:
    await client.put(WEB, json=service())
    await client.put(WEB, json=service(port=81))
    assert (await client.delete(WEB, headers={"If-Match": '"1"'})).status_code == 409
    assert (await client.delete(WEB, headers={"If-Match": '"2"'})).status_code == 200


@pytest.mark.parametrize("tag", ["*", "1", 'W/"1"', '""', '"x"', '"1", "2"', '"²"'])
async def test_if_match_has_to_be_one_etag(client: httpx.AsyncClient, tag: str) -> None:
    await client.put(WEB, json=service())
    refused = await client.delete(WEB, headers={"If-Match": tag.encode()})
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("digits", [25, 5_000])
async def test_a_revision_beyond_all_numbers(client: httpx.AsyncClient, digits: int) -> None:
    revision = "9" * digits
    by_header = await client.put(WEB, json=service(), headers={"If-Match": f'"{revision}"'})
    by_field = await client.put(WEB, json=service(resourceVersion=revision))
    assert (by_header.status_code, by_field.status_code) == (400, 422)


async def test_two_different_expectations(client: httpx.AsyncClient) -> None:
    refused = await client.put(WEB, json=service(resourceVersion="1"), headers={"If-Match": '"2"'})
    assert refused.status_code == 400


async def test_a_dry_run_answers_as_if_and_stores_nothing(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    would = await client.put(WEB, json=service(), params={"dryRun": "All"})
    assert (would.status_code, would.headers["Tulle-Outcome"]) == (201, "created")
    assert "resourceVersion" not in would.json()["metadata"]
    assert would.json()["spec"] == service()["spec"]
    assert (await backend.store.list()).revision == 0

    await client.put(WEB, json=service())
    would = await client.put(WEB, json=service(port=81), params={"dryRun": "All"})
    assert (would.headers["Tulle-Outcome"], would.json()["spec"]["ports"][0]["port"]) == ("configured", 81)
    stale = await client.put(WEB, json=service(port=81, resourceVersion="9"), params={"dryRun": "All"})
    assert stale.status_code == 409
    assert (await client.delete(WEB, params={"dryRun": "All"})).status_code == 200
    assert (await client.delete(WEB + "x", params={"dryRun": "All"})).status_code == 404
    assert (await client.put(WEB, json=service(), params={"dryRun": "maybe"})).status_code == 400
    assert (await backend.store.list()).revision == 1


async def test_a_bad_object_is_refused_with_all_that_is_wrong(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    bad = service()
    bad["spec"]["ports"] = [{"port": 0}, {"port": 80, "tagetPort": 1}]
    refused = await client.put(WEB, json=bad)
    assert refused.status_code == 422
    problems = refused.json()["problems"]
    assert {problem["path"] for problem in problems} >= {"spec.ports[0].port", "spec.ports[1].tagetPort"}
    assert all(problem["message"] for problem in problems)
    assert (await backend.store.list()).revision == 0


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "App", "apiVersion": "tulle.dev/v1alpha1", "spec": {"command": ["x"]}}, "kind"),
        ({"metadata": {"name": "other"}}, "metadata.name"),
        ({"metadata": {"name": "web", "namespace": "other"}}, "metadata.namespace"),
        ({"metadata": {"name": "web", "resourceVersion": "x"}}, "metadata.resourceVersion"),
    ],
)
async def test_an_object_has_to_be_the_one_of_the_path(client: httpx.AsyncClient, change: Json, path: str) -> None:
    refused = await client.put(WEB, json=service() | change)
    assert refused.status_code == 422
    assert path in [problem["path"] for problem in refused.json()["problems"]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b"\xff",
        b'{"metadata": null}',
        b'{"metadata": 3}',
        b'{"metadata": {"namespace": "\xff"}}',
        b'{"metadata": {"namespace": 1e999}}',
    ],
)
async def test_a_body_that_is_no_object(client: httpx.AsyncClient, body: bytes) -> None:
    refused = await client.put(WEB, content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422
    assert refused.json()["problems"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/namespaces/shop/servicez/web",
        "/v1/namespaces/shop/service/web",
        "/v1/namespaces/shop/namespaces/web",
        "/v1/services/web",
        "/v1/pods",
        "/v2/services",
    ],
)
async def test_a_path_that_does_not_exist(client: httpx.AsyncClient, path: str) -> None:
    refused = await client.get(path)
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"


async def test_a_namespace_where_there_is_none(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    bad = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "namespace": "x"}}
    assert (await client.put("/v1/namespaces/shop", json=bad)).status_code == 422
    assert (await client.post("/v1/namespaces", json=bad)).status_code == 422
    assert (await client.post("/v1/apply", json={"items": [bad]})).status_code == 422
    assert (await backend.store.list()).revision == 0


async def test_lists(client: httpx.AsyncClient) -> None:
    for namespace, name, tier in (("shop", "web", "front"), ("shop", "db", "back"), ("art", "web", "front")):
        await client.put(f"/v1/namespaces/{namespace}/services/{name}", json=service(name, labels={"tier": tier}))

    async def listed(path: str, selector: str = "") -> list[str]:
        body = (await client.get(path, params={"labelSelector": selector})).json()
        assert (body["kind"], body["apiVersion"], body["metadata"]) == ("List", "v1", {"resourceVersion": "3"})
        return [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in body["items"]]

    assert await listed("/v1/services") == ["art/web", "shop/db", "shop/web"]
    assert await listed("/v1/namespaces/shop/services") == ["shop/db", "shop/web"]
    assert await listed("/v1/services", "tier=front") == ["art/web", "shop/web"]
    assert await listed("/v1/namespaces/shop/services", "tier notin (front)") == ["shop/db"]
    assert await listed("/v1/apps") == []


async def test_a_bad_selector(client: httpx.AsyncClient) -> None:
    refused = await client.get("/v1/services", params={"labelSelector": "a b"})
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["path"] == "labelSelector"


async def test_every_write_is_audited(client: httpx.AsyncClient, audit: AuditLog) -> None:
    await client.get(WEB)
    await client.put(WEB, json=service())
    await client.put(WEB, json=service(port=0))
    await client.put(WEB, json=service(resourceVersion="9"))
    await client.delete(WEB, params={"dryRun": "All"})
    await client.delete(WEB)
    seen = [(entry["method"], entry["status"], entry["revision"], entry["objects"]) for entry in audit.entries]
    web = ["Service/shop/web"]
    assert seen == [
        ("PUT", 201, 1, web),
        ("PUT", 422, 0, web),
        ("PUT", 409, 0, web),
        ("DELETE", 200, 0, web),
        ("DELETE", 200, 2, web),
    ]
    assert "is at revision 1, not at 9" in audit.entries[2]["reason"]
    assert audit.entries[3]["query"] == "dryRun=All"
    assert {entry["caller"] for entry in audit.entries} == {"socket"}
