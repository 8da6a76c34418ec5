"""Virtual hosts are literal: no authority becomes a pattern."""

from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from hypothesis import given
from hypothesis import strategies as st

from tulle.view.types import VirtualHostView
from tulle.xds.virtual_host import virtual_host


@given(st.from_regex(r"[!-.0-@\[-~]{1,40}", fullmatch=True))
def test_an_authority_is_its_only_domain_or_nothing(authority: str) -> None:
    resource = virtual_host(VirtualHostView("shop", authority, ()))
    assert resource.aliases == (resource.name,) == (f"shop/{authority}",)
    (envelope,) = DeltaDiscoveryResponse.FromString(resource.wire).resources
    if "*" in authority:
        assert not envelope.HasField("resource")
    else:
        assert VirtualHost.FromString(envelope.resource.value).domains == [authority]


def test_what_no_route_takes_is_404() -> None:
    host = VirtualHost.FromString(virtual_host(VirtualHostView("shop", "catalog", ())).body)
    assert [route.direct_response.status for route in host.routes] == [404]
