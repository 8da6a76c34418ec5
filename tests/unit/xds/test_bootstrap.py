"""A proxy's bootstrap: who it is, and nothing that others could reach."""

import json

from tulle.model.names import ProxyId, WorkloadName
from tulle.xds.bootstrap import ProxySettings, bootstrap

PROXY = ProxyId("n1", WorkloadName("shop", "web-1"))


def config() -> dict[str, dict[str, object]]:
    settings = ProxySettings(PROXY, "/run/tulle/xds.sock", "/run/tulle/proxies/web/admin.sock")
    parsed: dict[str, dict[str, object]] = json.loads(bootstrap(settings))
    return parsed


def test_the_node_is_the_proxy() -> None:
    assert config()["node"]["id"] == "sidecar~n1~shop~web-1"


def test_admin_is_a_private_socket() -> None:
    assert config()["admin"]["address"] == {"pipe": {"path": "/run/tulle/proxies/web/admin.sock", "mode": 0o600}}


def test_everything_comes_over_one_delta_stream_and_is_waited_for() -> None:
    resources = config()["dynamic_resources"]
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    assert resources["lds_config"] == resources["cds_config"] == source
    ads = resources["ads_config"]
    assert isinstance(ads, dict)
    assert ads["api_type"] == "DELTA_GRPC"


def test_equal_settings_give_equal_bytes() -> None:
    settings = ProxySettings(PROXY, "/a", "/b")
    assert bootstrap(settings) == bootstrap(settings)
