import pytest
from tests.fakes import mesh

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.kinds import Resource
from tulle.model.mesh import MeshSpec, OutboundTrafficPolicy
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName, WorkloadPort
from tulle.model.snapshot import build
from tulle.view.proxy import workloads_of
from tulle.view.reader import Reader
from tulle.view.scope import Scope, agent_may_ask, scope

WORLD: tuple[Resource, ...] = (
    mesh.workload("web-1", "web", ports={"http": 8080}),
    mesh.workload("web-2", "web", ports={"http": 8080}, node="n2"),
    mesh.workload("batch-1", "batch", mode="node"),
    mesh.workload("ledger-1", "ledger", namespace="bank", mode="node", ports={"http": 80, "admin": 81}),
    mesh.workload("far-1", "far", namespace="far", mode="node", node="n2"),
)
WEB, BATCH = WorkloadName("shop", "web-1"), WorkloadName("shop", "batch-1")
LEDGER = WorkloadName("bank", "ledger-1")
SIDECAR, NODE = ProxyId("n1", WEB), ProxyId("n1")
PORT = ServicePort(ServiceName("anywhere", "catalog"), 8080)
ADDRESS = "240.244.0.1:9000"


def of(proxy: ProxyId, *resources: Resource) -> Scope:
    return scope(Reader(build(resources or WORLD)), proxy)


def both(name: WorkloadName) -> tuple[ListenerKey, ListenerKey]:
    return ListenerKey(name, "inbound"), ListenerKey(name, "outbound")


def test_a_sidecar_starts_with_its_workload():
    assert of(SIDECAR) == Scope(
        clusters=(
            IdentitiesClusterKey("sidecar~n1~shop~web-1"),
            PassthroughClusterKey(),
            LocalClusterKey(WorkloadPort(WEB, 8080)),
        ),
        listeners=both(WEB),
        namespaces=("shop",),
    )


def test_a_node_proxy_starts_with_the_workloads_of_its_node_that_are_in_node_mode():
    assert of(NODE) == Scope(
        clusters=(
            IdentitiesClusterKey("node~n1"),
            PassthroughClusterKey(),
            LocalClusterKey(WorkloadPort(LEDGER, 80)),
            LocalClusterKey(WorkloadPort(LEDGER, 81)),
        ),
        listeners=(*both(LEDGER), *both(BATCH)),
        namespaces=("bank", "shop"),
    )


@pytest.mark.parametrize(
    "proxy",
    [
        ProxyId("n3"),
        ProxyId("n2", WEB),
        ProxyId("n1", BATCH),
        ProxyId("n1", WorkloadName("shop", "nobody")),
        ProxyId("n1", WorkloadName("bank", "web-1")),
    ],
)
def test_a_proxy_without_workloads_sees_nothing(proxy: ProxyId):
    empty = of(proxy)
    assert empty == Scope((), (), ())
    assert workloads_of(Reader(build(WORLD)), proxy) == ()
    assert not any(empty.allows(key) for key in (*SHARED, *of(SIDECAR).clusters, *of(SIDECAR).listeners))


def test_nothing_leaves_where_the_mesh_is_closed():
    closed = mesh.mesh(MeshSpec(outbound_traffic_policy=OutboundTrafficPolicy("REGISTRY_ONLY")))
    assert PassthroughClusterKey() not in of(SIDECAR, *WORLD, closed).clusters


def test_a_workload_without_a_network_has_no_listeners():
    assert of(SIDECAR, mesh.workload("web-1", "web", network="")).listeners == ()


SHARED: tuple[Key, ...] = (
    ClusterKey(PORT),
    EndpointsKey(PORT),
    VirtualHostKey("shop", "catalog:8080"),
    RouteConfigKey("shop"),
    TcpClusterKey("shop", ADDRESS),
    TcpEndpointsKey("shop", ADDRESS),
)


@pytest.mark.parametrize("key", SHARED)
def test_a_proxy_may_ask_what_its_workloads_may_call(key: Key):
    assert of(SIDECAR).allows(key)
    assert of(NODE).allows(key)


def test_a_proxy_may_ask_for_what_it_starts_with():
    for proxy in (SIDECAR, NODE):
        seen = of(proxy)
        assert all(seen.allows(key) for key in (*seen.clusters, *seen.listeners))


@pytest.mark.parametrize(
    "key",
    [
        VirtualHostKey("bank", "ledger"),
        RouteConfigKey("bank"),
        TcpClusterKey("bank", ADDRESS),
        TcpEndpointsKey("bank", ADDRESS),
        ListenerKey(BATCH, "inbound"),
        ListenerKey(WorkloadName("shop", "web-2"), "outbound"),
        LocalClusterKey(WorkloadPort(LEDGER, 80)),
        LocalClusterKey(WorkloadPort(WEB, 22)),
        LocalClusterKey(WorkloadPort(WorkloadName("shop", "web-2"), 8080)),
        IdentitiesClusterKey("node~n1"),
        IdentitiesClusterKey("sidecar~n2~shop~web-2"),
        PassthroughClusterKey("/run/other.sock"),
        NodeKey("n1"),
        NameKey("shop", "catalog"),
    ],
)
def test_a_proxy_may_not_ask_what_is_others(key: Key):
    assert not of(SIDECAR).allows(key)


def test_an_agent_may_ask_for_its_node_and_for_names():
    assert agent_may_ask("n1", NodeKey("n1"))
    assert agent_may_ask("n1", NameKey("shop", "catalog"))
    assert not agent_may_ask("n1", NodeKey("n2"))
    assert not any(agent_may_ask("n1", key) for key in (*SHARED, *of(SIDECAR).clusters, *of(SIDECAR).listeners))
