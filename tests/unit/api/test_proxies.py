"""Proxies and what they have."""

import httpx
from msgspec import Raw
from tests.fakes.backend import FakeBackend

from tulle.api.backend import ProxyState, TypeSync, XdsResource
from tulle.model.names import ProxyId, WorkloadName

PROXY = ProxyId("n1", WorkloadName("shop", "web-1"))


async def test_state(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    sync = TypeSync("type.googleapis.com/x.Listener", 2, False, "no such filter")
    backend.known_proxies = (ProxyState(str(PROXY), "n1", "shop/web-1", True, False, (sync,)),)
    assert (await client.get("/v1/proxies")).json() == {
        "items": [
            {
                "id": "sidecar~n1~shop~web-1",
                "node": "n1",
                "workload": "shop/web-1",
                "connected": True,
                "inSync": False,
                "types": [
                    {
                        "typeUrl": "type.googleapis.com/x.Listener",
                        "resources": 2,
                        "inSync": False,
                        "lastNack": "no such filter",
                    }
                ],
            }
        ]
    }


async def test_xds(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.known_xds[PROXY] = (XdsResource("type.googleapis.com/x", "web", "ab12", Raw(b'{"name":"web"}')),)
    body = (await client.get(f"/v1/proxies/{PROXY}/xds")).json()
    assert body["proxy"] == str(PROXY)
    assert body["resources"][0]["body"] == {"name": "web"}


async def test_unknown(client: httpx.AsyncClient) -> None:
    for name in ("nonsense", "node~n9"):
        assert (await client.get(f"/v1/proxies/{name}/xds")).status_code == 404
