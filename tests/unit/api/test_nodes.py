"""Nodes."""

import httpx
from tests.fakes.backend import FakeBackend
from tests.unit.api.conftest import AuditLog

from tulle.api.backend import CertificateProblem, NodeState


async def test_nodes(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    problems = (CertificateProblem("spiffe://x", "ended"),)
    backend.known_nodes = (NodeState("n1", True, 3, 2, "", ("shop/*",), 37, problems),)
    (node,) = (await client.get("/v1/nodes")).json()["items"]
    assert node == {
        "name": "n1",
        "connected": True,
        "workloads": 3,
        "proxies": 2,
        "certificateExpires": "",
        "serviceAccounts": ["shop/*"],
        "certificateLifeUsed": 37,
        "certificateProblems": [{"identity": "spiffe://x", "message": "ended"}],
    }


async def test_the_authority(client: httpx.AsyncClient) -> None:
    shown = (await client.get("/v1/authority")).json()
    assert shown == {"trustDomain": "tulle.local", "expires": "2036-01-01T00:00:00Z", "lifeUsed": 1, "problem": ""}


async def test_a_node_is_removed(client: httpx.AsyncClient, backend: FakeBackend, audit: AuditLog) -> None:
    backend.known_nodes = (NodeState("n1", True, 3, 2), NodeState("n2", True, 0, 0))
    backend.apps_left = ("shop/web",)
    removed = await client.delete("/v1/nodes/n1")
    assert removed.status_code == 200
    assert removed.json() == {"name": "n1", "workloads": 3, "streams": 3, "apps": ["shop/web"]}
    assert [node.name for node in backend.known_nodes] == ["n2"]
    again = await client.delete("/v1/nodes/n1")
    assert (again.status_code, again.json()["detail"]) == (404, "a node 'n1' does not exist")
    assert [(e["method"], e["status"], e["objects"]) for e in audit.entries] == [
        ("DELETE", 200, ["Node/n1"]),
        ("DELETE", 404, ["Node/n1"]),
    ]


async def test_what_can_be_no_node_is_none(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    for name in ("%0a%1b[31m", "x" * 5000, "%22"):
        refused = await client.delete(f"/v1/nodes/{name}")
        assert refused.status_code == 404
        assert len(refused.content) < 400
