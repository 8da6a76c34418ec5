import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.grpc_route import GRPCRouteRule
from tulle.model.http_route import HTTPRoute, HTTPRouteRule
from tulle.model.keys import ClusterKey, VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, ServicePort
from tulle.model.references import ParentReference
from tulle.model.service import ServicePortSpec
from tulle.model.snapshot import build
from tulle.view.reader import Reader
from tulle.view.types import Backend, Forward, PathMatch, RouteMatch, RouteView, VirtualHostView
from tulle.view.virtual_host import virtual_host

CATALOG = mesh.service("catalog", [ServicePortSpec(80, "http"), ServicePortSpec(8080, "grpc")])


def seen(authority: str, *resources: Resource, namespace: str = "shop") -> VirtualHostView:
    return virtual_host(Reader(build([CATALOG, *resources])), VirtualHostKey(namespace, authority))


def routes(authority: str, *resources: Resource, namespace: str = "shop") -> list[str]:
    """The names of the objects whose routes clients of a namespace get."""
    return [r.name.split("/")[2] for r in seen(authority, *resources, namespace=namespace).routes]


def route(name: str, parent: ParentReference, *, namespace: str = "shop") -> HTTPRoute:
    backend = mesh.http_backend("catalog", port=80, namespace="shop")
    return mesh.http_route(name, HTTPRouteRule(backend_refs=(backend,)), parents=[parent], namespace=namespace)


def test_a_service_without_routes_is_reached_as_it_is():
    forward = Forward((Backend(ClusterKey(ServicePort(ServiceName("shop", "catalog"), 8080)), 1),))
    everything = RouteView("Service/shop/catalog", RouteMatch(PathMatch("prefix", "/")), forward)
    assert seen("catalog:8080") == VirtualHostView("shop", "catalog:8080", (everything,))


def test_the_view_keeps_the_authority_as_it_was_written():
    assert seen("Catalog.SHOP:80").authority == "Catalog.SHOP:80"
    assert seen("Catalog.SHOP:80").routes


def test_an_authority_that_means_nothing_has_no_routes():
    assert seen("nobody:80") == VirtualHostView("shop", "nobody:80", ())


class TestParents:
    @pytest.mark.parametrize(
        ("parent", "ports"),
        [
            (mesh.parent("catalog"), {80, 8080}),
            (mesh.parent("catalog", namespace="shop"), {80, 8080}),
            (mesh.parent("catalog", port=80), {80}),
            (mesh.parent("catalog", section="grpc"), {8080}),
            (mesh.parent("catalog", port=80, section="http"), {80}),
            (mesh.parent("catalog", port=80, section="grpc"), set()),
            (mesh.parent("catalog", port=81), set()),
            (mesh.parent("catalog", section="none"), set()),
            (mesh.parent("cart"), set()),
            (mesh.parent("catalog", namespace="bank"), set()),
            (replace(mesh.parent("catalog"), kind="Gateway"), set()),
            (replace(mesh.parent("catalog"), group="gateway.networking.k8s.io"), set()),
        ],
    )
    def test_name_the_ports_that_a_route_is_for(self, parent: ParentReference, ports: set[int]):
        attached = route("r", parent)
        assert {p for p in (80, 8080) if routes(f"catalog:{p}", attached) == ["r"]} == ports
        assert all(routes(f"catalog:{p}", attached) == ["catalog"] for p in {80, 8080} - ports)

    def test_one_that_fits_is_enough(self):
        both = mesh.http_route(
            "r", HTTPRouteRule(), parents=[mesh.parent("catalog", port=81), mesh.parent("catalog", port=80)]
        )
        assert routes("catalog:80", both) == ["r"]


class TestNamespaces:
    PRODUCER = route("producer", mesh.parent("catalog"))
    CONSUMER = route("consumer", mesh.parent("catalog", namespace="shop"), namespace="bank")

    def test_a_producers_route_is_for_every_client(self):
        assert routes("catalog:80", self.PRODUCER) == ["producer"]
        assert routes("catalog.shop:80", self.PRODUCER, namespace="bank") == ["producer"]

    def test_a_consumers_route_is_for_its_own_namespace(self):
        assert routes("catalog.shop:80", self.CONSUMER, namespace="bank") == ["consumer"]
        assert routes("catalog.shop:80", self.CONSUMER, namespace="street") == ["catalog"]
        assert routes("catalog:80", self.CONSUMER) == ["catalog"]

    def test_a_consumers_route_replaces_the_producers(self):
        both = (self.PRODUCER, self.CONSUMER)
        assert routes("catalog.shop:80", *both, namespace="bank") == ["consumer"]
        assert routes("catalog.shop:80", *both, namespace="street") == ["producer"]
        assert routes("catalog:80", *both) == ["producer"]

    def test_a_consumers_route_to_one_port_leaves_the_others(self):
        consumer = route("consumer", mesh.parent("catalog", namespace="shop", port=8080), namespace="bank")
        assert routes("catalog.shop:8080", self.PRODUCER, consumer, namespace="bank") == ["consumer"]
        assert routes("catalog.shop:80", self.PRODUCER, consumer, namespace="bank") == ["producer"]

    def test_a_consumers_route_leads_to_the_service_it_is_about(self):
        (view,) = seen("catalog.shop:80", self.CONSUMER, namespace="bank").routes
        assert view.action == Forward((Backend(ClusterKey(ServicePort(ServiceName("shop", "catalog"), 80)), 1),))


class TestKinds:
    GRPC = mesh.grpc_route("calls", GRPCRouteRule(), parents=[mesh.parent("catalog", port=8080)])
    HTTP = route("requests", mesh.parent("catalog"))

    def test_a_grpc_route_wins_where_both_are(self):
        assert routes("catalog:8080", self.HTTP, self.GRPC) == ["calls"]
        assert routes("catalog:80", self.HTTP, self.GRPC) == ["requests"]

    def test_a_route_of_tcp_is_none_for_http(self):
        tcp = mesh.tcp_route("t", mesh.http_backend("catalog"))
        assert routes("catalog:80", tcp) == ["catalog"]


def test_routes_of_one_service_are_merged():
    assert routes("catalog:80", route("b", mesh.parent("catalog")), route("a", mesh.parent("catalog"))) == ["a", "b"]
