from tests.fakes import mesh

from tulle.model.keys import ListenerKey, PassthroughClusterKey
from tulle.model.kinds import Resource
from tulle.model.mesh import MeshSpec, OutboundTrafficPolicy
from tulle.model.names import SpiffeId, WorkloadName, WorkloadPort
from tulle.model.service import ServicePortSpec
from tulle.model.snapshot import build
from tulle.view.listener import listener
from tulle.view.reader import Reader
from tulle.view.types import CapturedPort, InboundListenerView, OutboundListenerView

WEB = WorkloadName("shop", "web-1")
OUT, IN = ListenerKey(WEB, "outbound"), ListenerKey(WEB, "inbound")
IDENTITY = SpiffeId("tulle.local", "shop", "web")
CLOSED = mesh.mesh(MeshSpec(outbound_traffic_policy=OutboundTrafficPolicy("REGISTRY_ONLY")))


def seen(key: ListenerKey, *resources: Resource) -> InboundListenerView | OutboundListenerView | None:
    return listener(Reader(build(resources)), key)


def inbound_ports(*resources: Resource) -> list[int]:
    view = seen(IN, *resources)
    assert isinstance(view, InboundListenerView)
    assert all(p.workload == WEB for p in view.ports)
    return [p.port for p in view.ports]


class TestOutbound:
    def test_captures_inside_the_workloads_network(self):
        assert seen(OUT, mesh.workload("web-1", "web", network="/ns")) == OutboundListenerView(
            OUT, "/ns", IDENTITY, "shop", PassthroughClusterKey()
        )

    def test_leaves_the_mesh_only_where_it_may(self):
        view = seen(OUT, mesh.workload("web-1", "web"), CLOSED)
        assert isinstance(view, OutboundListenerView) and view.passthrough is None

    def test_knows_the_ports_that_are_not_what_their_address_says(self):
        mixed = mesh.service("catalog", [mesh.TCP, mesh.HTTP], address="240.240.0.1")
        odd = mesh.service("cart", [mesh.HTTP, ServicePortSpec(81, "grpc")], address="240.244.0.1")
        view = seen(OUT, mesh.workload("web-1", "web"), mixed, odd)
        assert isinstance(view, OutboundListenerView)
        assert view.exceptions == (
            CapturedPort(("240.240.0.1", "fd74:756c:6c65:1::f0f0:1"), 9000, "tcp"),
            CapturedPort(("240.244.0.1", "fd74:756c:6c65:2::f0f4:1"), 81, "http2"),
            CapturedPort(("240.244.0.1", "fd74:756c:6c65:2::f0f4:1"), 8080, "http"),
        )


class TestInbound:
    def test_is_the_mesh_address(self):
        one = mesh.workload("web-1", "web", address="10.0.0.7", mesh_port=15107, ports={"http": 8080})
        assert seen(IN, one) == InboundListenerView(IN, "10.0.0.7", 15107, IDENTITY, (WorkloadPort(WEB, 8080),))

    def test_opens_declared_ports_and_those_that_services_lead_to(self):
        numbered = mesh.service("a", [ServicePortSpec(80, target_port=9090), mesh.TCP][:1], selector={"app": "web"})
        named = mesh.service("b", [ServicePortSpec(80, target_port="admin")], selector={"app": "web"})
        unknown = mesh.service("c", [ServicePortSpec(80, target_port="nothing")], selector={"app": "web"})
        same = mesh.service("d", [ServicePortSpec(8081, "http")], selector={"app": "web"})
        other = mesh.service("e", [ServicePortSpec(1, "http")], selector={"app": "other"})
        one = mesh.workload("web-1", "web", ports={"http": 8081, "admin": 7})
        assert inbound_ports(numbered, named, unknown, same, other, one) == [7, 8081, 9090]

    def test_opens_nothing_that_nobody_named(self):
        assert inbound_ports(mesh.workload("web-1", "web")) == []

    def test_opens_no_port_of_a_service_in_another_namespace(self):
        assert (
            inbound_ports(mesh.service("a", selector={"app": "web"}, namespace="bank"), mesh.workload("web-1", "web"))
            == []
        )


def test_a_workload_that_no_proxy_captures_has_no_listener():
    for key in (IN, OUT):
        assert seen(key, mesh.workload("web-1", "web", network="")) is None
        assert seen(key) is None
