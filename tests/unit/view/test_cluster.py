import pytest
from tests.fakes import mesh

from tulle.model.keys import ClusterKey, EndpointsKey, IdentitiesClusterKey, LocalClusterKey
from tulle.model.mesh import MeshSpec
from tulle.model.names import ServiceName, ServicePort, SpiffeId, WorkloadName, WorkloadPort
from tulle.model.service import ServicePortSpec
from tulle.model.snapshot import build
from tulle.view.cluster import cluster, identities_cluster, local_cluster
from tulle.view.reader import Reader
from tulle.view.types import ClusterView, LocalClusterView

PORT = ServicePort(ServiceName("shop", "catalog"), 8080)
KEY = ClusterKey(PORT)


@pytest.mark.parametrize(("name", "protocol"), [("http", "http"), ("grpc", "http2"), ("web", "tcp")])
def test_a_cluster_is_one_port_of_a_service(name: str, protocol: str):
    resources = [mesh.service("catalog", [ServicePortSpec(8080, name)]), mesh.workload("catalog-1", "catalog")]
    view = cluster(Reader(build(resources)), KEY)
    identity = SpiffeId("tulle.local", "shop", "catalog")
    assert view == ClusterView(KEY, protocol, (identity,), EndpointsKey(PORT))  # type: ignore[arg-type]


def test_it_trusts_each_account_behind_the_service_once_and_no_other():
    workloads = [
        mesh.workload("c-1", "catalog", account="b"),
        mesh.workload("c-2", "catalog", account="a", state="NotReady"),
        mesh.workload("c-3", "catalog", account="b"),
        mesh.workload("x-1", "x", account="x"),
        mesh.workload("c-9", "catalog", account="far", namespace="bank"),
    ]
    view = cluster(Reader(build([mesh.service("catalog"), *workloads])), KEY)
    assert view is not None and [i.service_account for i in view.identities] == ["a", "b"]


def test_it_does_not_trust_a_workload_that_says_of_itself_that_it_is_one_of_an_app():
    resources = [
        mesh.service("catalog"),
        mesh.app("catalog"),
        mesh.workload("catalog-1", "catalog"),
        mesh.workload("web-1", "catalog", account="web", node="n2"),
    ]
    view = cluster(Reader(build(resources)), KEY)
    assert view is not None and [i.service_account for i in view.identities] == ["catalog"]


def test_it_trusts_nobody_while_nobody_is_there():
    view = cluster(Reader(build([mesh.service("catalog")])), KEY)
    assert view is not None and view.identities == ()


def test_identities_are_of_the_meshs_trust_domain():
    other = mesh.mesh(MeshSpec(trust_domain="mesh.example"))
    reader = Reader(build([other, mesh.service("catalog"), mesh.workload("c-1", "catalog")]))
    view = cluster(reader, KEY)
    assert view is not None and view.identities == (SpiffeId("mesh.example", "shop", "catalog"),)


@pytest.mark.parametrize("port", [ServicePort(PORT.service, 81), ServicePort(ServiceName("bank", "catalog"), 8080)])
def test_what_is_not_there_has_no_view(port: ServicePort):
    assert cluster(Reader(build([mesh.service("catalog")])), ClusterKey(port)) is None


def test_a_local_cluster_is_inside_its_workloads_network():
    key = LocalClusterKey(WorkloadPort(WorkloadName("shop", "web-1"), 8080))
    assert local_cluster(Reader(build([mesh.workload("web-1", network="/ns")])), key) == LocalClusterView(key, "/ns")
    assert local_cluster(Reader(build([])), key) is None


class TestIdentities:
    WORKLOADS = (
        mesh.workload("a-1", "a", mode="node"),
        mesh.workload("b-1", "b", mode="node"),
        mesh.workload("b-2", "b", mode="node"),
        mesh.workload("c-1", "c"),
        mesh.workload("d-1", "d", node="n2", mode="node"),
    )

    @pytest.mark.parametrize(
        ("proxy", "accounts"),
        [("node~n1", ["a", "b"]), ("sidecar~n1~shop~c-1", ["c"]), ("node~n3", []), ("sidecar~n1~shop~a-1", [])],
    )
    def test_are_those_of_the_workloads_a_proxy_serves(self, proxy: str, accounts: list[str]):
        view = identities_cluster(Reader(build(self.WORKLOADS)), IdentitiesClusterKey(proxy))
        assert view is not None and [i.service_account for i in view.identities] == accounts

    def test_of_what_is_no_proxy_are_no_view(self):
        assert identities_cluster(Reader(build(self.WORKLOADS)), IdentitiesClusterKey("agent~n1")) is None
