"""Nodes."""

import httpx
from tests.fakes.backend import FakeBackend

from tulle.api.backend import NodeState


async def test_nodes(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.known_nodes = (NodeState("n1", True, 3, 2),)
    assert (await client.get("/v1/nodes")).json() == {
        "items": [{"name": "n1", "connected": True, "workloads": 3, "proxies": 2, "certificateExpires": ""}]
    }
