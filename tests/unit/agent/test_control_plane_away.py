"""While the control plane is away, what a request waits for is answered and nothing else is."""

from envoy.config.route.v3.route_components_pb2 import VirtualHost

from tulle.agent.control_plane_away import answer
from tulle.stream.protocol import ABSENT, PENDING
from tulle.xds.resource import Resource
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, VIRTUAL_HOST


def test_an_unknown_authority_gets_503_for_exactly_that_host() -> None:
    made = answer(VIRTUAL_HOST, "shop/cart:8080")
    assert isinstance(made, Resource)
    assert (made.name, made.aliases) == ("shop/cart:8080", ("shop/cart:8080",))
    host = VirtualHost.FromString(made.body)
    assert list(host.domains) == ["cart:8080"]
    response = host.routes[0].direct_response
    assert response.status == 503
    assert "has not called cart:8080 before" in response.body.inline_string


def test_what_is_no_authority_is_nothing() -> None:
    made = answer(VIRTUAL_HOST, "SHOP/cart")
    assert isinstance(made, Resource)
    assert made.body == b""


def test_a_cluster_fails_at_once_and_the_rest_waits() -> None:
    assert answer(CLUSTER, "cart.shop:80") is ABSENT
    assert answer(ENDPOINTS, "cart.shop:80") is PENDING
    assert answer(LISTENER, "outbound/shop/web-1") is PENDING
