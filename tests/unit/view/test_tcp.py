import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.keys import EndpointsKey, TcpClusterKey, TcpEndpointsKey
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, ServicePort, SpiffeId
from tulle.model.references import BackendRef
from tulle.model.snapshot import build
from tulle.view.cluster import tcp_cluster
from tulle.view.endpoints import tcp_endpoints
from tulle.view.reader import Reader
from tulle.view.tcp import TcpBackend, tcp_backends

DB = mesh.service("db", [mesh.TCP], address="240.244.0.1")
DB2 = mesh.service("db2", [mesh.TCP])
MIXED = mesh.service("mixed", [mesh.HTTP, mesh.TCP], address="240.240.0.1")
AT = "240.244.0.1:9000"


def port(name: str) -> ServicePort:
    return ServicePort(ServiceName("shop", name), 9000)


def ref(name: str, weight: int = 1, namespace: str = "") -> BackendRef:
    return BackendRef(name=name, namespace=namespace, port=9000, weight=weight)


def behind(address: str, *resources: Resource, namespace: str = "shop") -> tuple[TcpBackend, ...] | None:
    return tcp_backends(Reader(build([DB, DB2, MIXED, *resources])), namespace, address)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (AT, "db"),
        ("[fd74:756c:6c65:2::f0f4:1]:9000", "db"),
        ("240.240.0.1:9000", "mixed"),
        ("[fd74:756c:6c65:1::f0f0:1]:9000", "mixed"),
    ],
)
def test_without_routes_it_is_the_service(address: str, name: str):
    assert behind(address) == (TcpBackend(port(name), 1),)


@pytest.mark.parametrize(
    "address",
    ["240.244.0.1:9001", "240.244.0.2:9000", "240.240.0.1:8080", "10.0.0.1:9000", "", "x", "240.244.0.1", ":"],
)
def test_other_addresses_have_nothing_behind_them(address: str):
    assert behind(address) is None
    reader = Reader(build([DB]))
    assert tcp_cluster(reader, TcpClusterKey("shop", address)) is None
    assert tcp_endpoints(reader, TcpEndpointsKey("shop", address)) is None


class TestRoutes:
    def test_split_connections_by_weight(self):
        route = mesh.tcp_route("r", ref("db", 9), ref("db2", 1), parents=[mesh.parent("db")])
        assert behind(AT, route) == (TcpBackend(port("db"), 9), TcpBackend(port("db2"), 1))

    def test_what_leads_nowhere_keeps_its_share(self):
        route = mesh.tcp_route("r", ref("db"), ref("nobody", 2), ref("db2", 3, "bank"), parents=[mesh.parent("db")])
        assert behind(AT, route) == (TcpBackend(port("db"), 1), TcpBackend(None, 2), TcpBackend(None, 3))

    def test_without_weight_nothing_is_left(self):
        assert behind(AT, mesh.tcp_route("r", ref("db", 0), parents=[mesh.parent("db")])) == ()

    def test_the_oldest_decides(self):
        old = mesh.tcp_route("z", ref("db2"), parents=[mesh.parent("db")], created="2026-01-01T00:00:00Z")
        new = mesh.tcp_route("a", ref("nobody"), parents=[mesh.parent("db")], created="2026-01-02T00:00:00Z")
        assert behind(AT, new, old) == (TcpBackend(port("db2"), 1),)

    def test_of_the_same_age_the_name_decides(self):
        a = mesh.tcp_route("a", ref("db2"), parents=[mesh.parent("db")])
        b = mesh.tcp_route("b", ref("nobody"), parents=[mesh.parent("db")])
        assert behind(AT, b, a) == (TcpBackend(port("db2"), 1),)

    def test_of_a_consumer_are_for_its_namespace(self):
        consumer = mesh.tcp_route("r", ref("db", namespace="shop"), parents=[mesh.parent("db", namespace="shop")])
        consumer = replace(consumer, metadata=replace(consumer.metadata, namespace="bank"))
        producer = mesh.tcp_route("p", ref("db2"), parents=[mesh.parent("db")])
        assert behind(AT, consumer, producer, namespace="bank") == (TcpBackend(port("db"), 1),)
        assert behind(AT, consumer, producer) == (TcpBackend(port("db2"), 1),)

    def test_to_one_port_leave_the_others(self):
        route = mesh.tcp_route("r", ref("db2"), parents=[mesh.parent("db", port=9001)])
        assert behind(AT, route) == (TcpBackend(port("db"), 1),)


def test_the_cluster_trusts_whoever_is_behind_it():
    route = mesh.tcp_route("r", ref("db", 9), ref("nobody", 5), ref("db2", 1), parents=[mesh.parent("db")])
    workloads = [
        mesh.workload("db-1", "db"),
        mesh.workload("db2-1", "db2", address="10.0.0.2"),
        mesh.workload("x", "x"),
    ]
    reader = Reader(build([DB, DB2, route, *workloads]))
    cluster = tcp_cluster(reader, TcpClusterKey("shop", AT))
    assert cluster is not None
    assert cluster.protocol == "tcp"
    assert cluster.endpoints == TcpEndpointsKey("shop", AT)
    assert cluster.identities == tuple(SpiffeId("tulle.local", "shop", a) for a in ("db", "db2"))
    endpoints = tcp_endpoints(reader, TcpEndpointsKey("shop", AT))
    assert endpoints is not None
    assert [(g.weight, [(e.address, e.port) for e in g.endpoints]) for g in endpoints.groups] == [
        (9, [("10.0.0.1", 15101)]),
        (5, [("127.0.0.1", 2)]),  # nothing answers there: the share of a backend that is not there is refused
        (1, [("10.0.0.2", 15101)]),
    ]
    assert endpoints.key != EndpointsKey(port("db"))
