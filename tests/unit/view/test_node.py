import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.app import App, EnvVar, ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction
from tulle.model.dns_server import DnsServer
from tulle.model.keys import NameKey, NodeKey
from tulle.model.kinds import Resource
from tulle.model.mesh import MeshDns, MeshSpec
from tulle.model.snapshot import build
from tulle.view.node import name, node
from tulle.view.reader import Reader
from tulle.view.types import (
    AppView,
    DnsView,
    ExecProbeView,
    GrpcProbeView,
    HttpProbeView,
    NameView,
    NodeView,
    ProbeView,
    TcpProbeView,
)

NODE_MODE = mesh.mesh(MeshSpec(mode="node"))


def seen(*resources: Resource, on: str = "n1") -> NodeView:
    return node(Reader(build(resources)), NodeKey(on))


def changed(app: App, **fields: object) -> App:
    return replace(app, spec=replace(app.spec, **fields))  # type: ignore[arg-type]


def the_app(*resources: Resource) -> AppView:
    (found,) = seen(*resources).apps
    return found


def test_a_node_runs_its_own_apps():
    apps = [mesh.app("a"), mesh.app("b", namespace="bank"), mesh.app("c", node="n2"), mesh.app("d", node="")]
    view = seen(*apps, mesh.mesh(MeshSpec(trust_domain="mesh.example")))
    assert [(a.namespace, a.name) for a in view.apps] == [("bank", "b"), ("shop", "a")]
    assert (view.node, view.trust_domain) == ("n1", "mesh.example")


def test_a_node_is_told_how_names_are_answered():
    dns = MeshDns(domains=("corp.example",), upstreams=("192.0.2.53", "dns.example.com", "[2001:db8::5]:5353"))
    view = seen(mesh.mesh(MeshSpec(dns=dns)))
    assert view.dns == DnsView(("corp.example",), (DnsServer("192.0.2.53"), DnsServer("2001:db8::5", 5353)))
    assert seen().dns == DnsView()


def test_a_node_that_nobody_named_runs_nothing():
    assert seen(mesh.app("a"), on="n9") == NodeView("n9", "tulle.local", ())


def test_an_app_is_what_was_declared():
    app = changed(
        mesh.app("a"),
        command=("python",),
        args=("app.py", "-v"),
        env=(EnvVar("B", "2"), EnvVar("A"), EnvVar("B", "3")),
        working_dir="/srv",
        replicas=3,
        service_account="runner",
        labels={"tier": "front"},
        run_as="nobody",
        restart_policy="Never",
        termination_grace_period_seconds=5,
    )
    assert the_app(app) == AppView(
        namespace="shop",
        name="a",
        service_account="runner",
        replicas=3,
        command=("python", "app.py", "-v"),
        env={"B": "3", "A": ""},
        working_dir="/srv",
        run_as="nobody",
        ports=(("http", 8080),),
        labels={"app": "a", "tier": "front"},
        mode="sidecar",
        restart="Never",
        termination_grace=5,
    )


@pytest.mark.parametrize(
    ("resources", "mode"),
    [
        ([mesh.app("a")], "sidecar"),
        ([mesh.app("a"), NODE_MODE], "node"),
        ([mesh.app("a"), mesh.namespace("shop", mode="node")], "node"),
        ([mesh.app("a"), mesh.namespace("shop", mode="sidecar"), NODE_MODE], "sidecar"),
        ([mesh.app("a"), mesh.namespace("bank", mode="node")], "sidecar"),
        ([mesh.app("a"), mesh.namespace("shop"), NODE_MODE], "node"),
        ([mesh.app("a", mode="sidecar"), mesh.namespace("shop", mode="node"), NODE_MODE], "sidecar"),
        ([mesh.app("a", mode="node"), mesh.namespace("shop", mode="sidecar")], "node"),
    ],
)
def test_the_nearest_word_on_the_mode_counts(resources: list[Resource], mode: str):
    assert the_app(*resources).mode == mode


@pytest.mark.parametrize(
    ("probe", "check"),
    [
        (Probe(http_get=HTTPGetAction("http", "/healthz")), HttpProbeView(8080, "/healthz")),
        (Probe(http_get=HTTPGetAction(81)), HttpProbeView(81)),
        (Probe(tcp_socket=TCPSocketAction("http")), TcpProbeView(8080)),
        (Probe(grpc=GRPCAction(81, "shop.Catalog")), GrpcProbeView(81, "shop.Catalog")),
        (Probe(exec=ExecAction(("true",))), ExecProbeView(("true",))),
        (Probe(tcp_socket=TCPSocketAction("gone")), TcpProbeView(0)),
    ],
)
def test_probes_lead_to_ports(probe: Probe, check: object):
    view = the_app(changed(mesh.app("a"), readiness_probe=probe))
    assert view.readiness is not None and view.readiness.check == check
    assert view.liveness is view.startup is None


def test_probes_keep_their_numbers():
    probe = Probe(None, TCPSocketAction(81), None, None, 1, 2, 3, 4, 5)
    view = the_app(changed(mesh.app("a"), liveness_probe=probe, startup_probe=probe))
    assert view.liveness == view.startup == ProbeView(TcpProbeView(81), 1, 2, 3, 4, 5)


class TestNames:
    CATALOG = mesh.service("catalog", address="240.240.0.1")

    @pytest.mark.parametrize("host", ["catalog", "catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local"])
    def test_of_services_have_both_addresses(self, host: str):
        key = NameKey("shop", host)
        view = name(Reader(build([self.CATALOG])), key)
        assert view == NameView(key, ("240.240.0.1", "fd74:756c:6c65:1::f0f0:1"))

    @pytest.mark.parametrize("host", ["example.com", "cart", "catalog.bank", "", "catalog.shop.svc.example.com"])
    def test_of_others_are_not_the_meshs(self, host: str):
        assert name(Reader(build([self.CATALOG])), NameKey("shop", host)) is None

    def test_are_as_the_clients_namespace_sees_them(self):
        assert name(Reader(build([self.CATALOG])), NameKey("bank", "catalog")) is None
