import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.names import (
    AgentId,
    ObjectRef,
    ProxyId,
    ServiceName,
    ServicePort,
    SpiffeId,
    WorkloadName,
    WorkloadPort,
)

WEB = WorkloadName("shop", "web-1")


def test_names_are_written_as_people_write_them():
    assert str(ObjectRef("v1", "Service", "shop", "catalog")) == "Service/shop/catalog"
    assert str(ObjectRef("v1", "Namespace", "", "shop")) == "Namespace/shop"
    assert str(ServicePort(ServiceName("shop", "catalog"), 8080)) == "catalog.shop:8080"
    assert str(WEB) == "web-1.shop"
    assert str(SpiffeId("tulle.local", "shop", "web")) == "spiffe://tulle.local/ns/shop/sa/web"


def test_a_port_of_a_workload_has_a_server_name_of_its_own():
    assert WorkloadPort(WEB, 8080).sni == "p8080.web-1.shop.workload.tulle"


@pytest.mark.parametrize("proxy", [ProxyId("n1"), ProxyId("host.example", WEB)])
def test_a_proxy_is_read_as_it_is_written(proxy: ProxyId):
    assert ProxyId.parse(str(proxy)) == proxy
    assert AgentId.parse(str(proxy)) is None


def test_an_agent_is_read_as_it_is_written():
    assert AgentId.parse(str(AgentId("n1"))) == AgentId("n1")
    assert ProxyId.parse("agent~n1") is None


@pytest.mark.parametrize(
    "text", ["", "node", "node~", "node~n1~x", "sidecar~n1~shop", "sidecar~n1~shop~", "sidecar~~shop~web", "n1", "~"]
)
def test_other_texts_name_no_proxy(text: str):
    assert ProxyId.parse(text) is None
    assert AgentId.parse(text) is None


@given(st.text())
def test_what_names_a_proxy_is_spelled_in_one_way(text: str):
    for found in (ProxyId.parse(text), AgentId.parse(text)):
        assert found is None or str(found) == text
