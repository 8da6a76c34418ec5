"""A control plane and two nodes: processes of their own, each with its own directories, as on three hosts."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from tests.e2e.live import ROOT, Client, Installation, Running, echo_app, installation, manifest, service, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 and not os.environ.get("CI"), reason="nodes of one mesh share the host's network as root"
    ),
]

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "north"}}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address, all different."""
    trials = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [trial.getsockname()[1] for trial in trials]
    for trial in trials:
        trial.close()
    return ports


class Host(Struct, frozen=True):
    """A node: its directories and its agent."""

    mesh: Installation
    agent: Running


class Nodes:
    """`tulle server`, and agents that join it."""

    def __init__(self, server: Installation) -> None:
        self.server = server
        self.xds, self.enrolment = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.process = server.start("server", "--xds-address", self.xds, "--enrolment-address", self.enrolment)
        until((server.run_dir / "api.sock").exists, "the control plane answers")
        server.apply(manifest(NAMESPACE))

    def token(self, node: str) -> Path:
        path = self.server.directory / f"{node}-{len(list(self.server.directory.glob('*.token')))}.token"
        self.server.ok("token", "create", "--node", node, "--service-account", "north/*", "--out", str(path))
        return path

    def agent(self, mesh: Installation, node: str, address: str, token: Path) -> Running:
        where = ("--control-plane", self.xds, "--enrolment", self.enrolment, "--address", address)
        return mesh.start("agent", "--node", node, *where, "--token-file", str(token))

    def join(self, mesh: Installation, node: str, address: str) -> Host:
        agent = self.agent(mesh, node, address, self.token(node))
        until((mesh.run_dir / "agent.sock").exists, f"the agent of {node} answers")
        return Host(mesh, agent)


class Mesh(Struct, frozen=True):
    nodes: Nodes
    one: Host
    two: Host
    client: Client


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with installation(ROOT) as server, installation(ROOT) as first, installation(ROOT) as second:
        nodes = Nodes(server)
        one, two = nodes.join(first, "n1", "127.0.0.1"), nodes.join(second, "n2", "127.0.0.2")
        ports = {"HTTP_PORT": "8080", "TCP_PORT": "9000"}
        apps = (echo_app(name, "north", ports, node=node) for name, node in (("one", "n1"), ("two", "n2")))
        services = (service(name, "north", http=8080, tcp=9000) for name in ("one", "two"))
        server.apply(manifest(*apps, *services))
        for name in ("one", "two"):
            until(lambda name=name: server.workloads(name, "north"), f"{name} is ready")
        yield Mesh(nodes, one, two, first.inside("north", "one"))


def test_apps_run_where_they_are_placed(mesh: Mesh) -> None:
    placed = {w["spec"]["app"]: w["spec"] for w in mesh.nodes.server.objects("workloads", "north")}
    assert {app: (spec["node"], spec["address"]) for app, spec in placed.items()} == {
        "one": ("n1", "127.0.0.1"),
        "two": ("n2", "127.0.0.2"),
    }


def test_workloads_of_different_nodes_call_each_other(mesh: Mesh) -> None:
    assert mesh.client.get("http://two:8080/")["body"]["app"] == "two"
    assert mesh.client.ask(kind="tcp", host="two", port=9000, send="hello\n")["received"] == "two hello\n"
    there = mesh.two.mesh.tulle("exec", "-n", "north", "two", "--", "curl", "-s", "http://one:8080/")
    assert '"app": "one"' in there.stdout, there.stderr


def test_a_workload_is_entered_on_its_own_node_only(mesh: Mesh) -> None:
    done = mesh.one.mesh.tulle("exec", "-n", "north", "two", "--", "true")
    assert (done.returncode, "no workload two in namespace north runs on this node" in done.stderr) == (1, True)


def test_the_status_shows_both_nodes(mesh: Mesh) -> None:
    done = mesh.nodes.server.tulle("status")
    assert done.returncode == 0, done.stdout
    assert [line.split()[:2] for line in done.stdout.splitlines() if line.startswith(("n1", "n2"))] == [
        ["n1", "Connected"],
        ["n2", "Connected"],
    ]


def test_an_app_without_a_node_is_not_run_and_says_so(mesh: Mesh) -> None:
    mesh.nodes.server.apply(manifest(echo_app("nowhere", "north")))
    try:
        assert "no node runs it: set spec.node" in mesh.nodes.server.ok("describe", "app", "nowhere", "-n", "north")
    finally:
        mesh.nodes.server.ok("delete", "app", "nowhere", "-n", "north")


def test_an_app_moves_to_another_node(mesh: Mesh) -> None:
    server = mesh.nodes.server
    server.apply(manifest(echo_app("moves", "north", node="n1"), service("moves", "north")))
    first = until(lambda: server.workloads("moves", "north"), "it runs on n1")
    until(lambda: mesh.client.get("http://moves:8080/").get("status") == 200, "it answers")
    server.apply(manifest(echo_app("moves", "north", node="n2")))
    until(lambda: (now := server.workloads("moves", "north")) and not now & first, "it runs on n2")
    until(lambda: mesh.client.get("http://moves:8080/").get("status") == 200, "it answers from there")
    every = lambda: [w["spec"] for w in server.objects("workloads", "north")]  # noqa: E731 (asked again and again)
    until(lambda: [w["node"] for w in every() if w["app"] == "moves"] == ["n2"], "it has left n1")


def test_a_token_lets_one_node_in_and_no_second(mesh: Mesh) -> None:
    token = mesh.nodes.token("n3")
    with installation(ROOT) as third, installation(ROOT) as thief:
        joined = mesh.nodes.agent(third, "n3", "127.0.0.3", token)
        until((third.run_dir / "agent.sock").exists, "the agent of n3 answers")
        refused = mesh.nodes.agent(thief, "n3", "127.0.0.4", token)
        assert refused.ended() == 1
        assert "Traceback" not in refused.output
        assert "token" in refused.output.splitlines()[-1]
        assert joined.stop() == 0


def test_a_token_is_for_the_node_that_it_names(mesh: Mesh) -> None:
    with installation(ROOT) as thief:
        refused = mesh.nodes.agent(thief, "n2", "127.0.0.5", mesh.nodes.token("n4"))
        assert refused.ended() == 1
        assert "Traceback" not in refused.output


def test_a_host_that_never_joined_needs_a_token(mesh: Mesh) -> None:
    with installation(ROOT) as stranger:
        done = stranger.tulle("agent", "--node", "n5", "--control-plane", mesh.nodes.xds)
        assert done.returncode == 1
        assert "--token-file is needed" in done.stderr


def test_a_second_control_plane_or_agent_in_the_same_directories_is_refused(mesh: Mesh) -> None:
    again = mesh.nodes.server.tulle("server", "--xds-address", "127.0.0.1:0", "--enrolment-address", "127.0.0.1:0")
    assert again.returncode == 1
    assert "Traceback" not in again.stderr
    twice = mesh.one.mesh.tulle("agent", "--node", "n1", "--control-plane", mesh.nodes.xds)
    assert twice.returncode == 1
    assert f"an agent runs in {mesh.one.mesh.run_dir} already" in twice.stderr
    assert mesh.client.get("http://two:8080/")["status"] == 200


def test_a_node_that_is_removed_is_out_of_the_mesh_at_once(mesh: Mesh) -> None:
    server = mesh.nodes.server
    with installation(ROOT) as host:
        agent = mesh.nodes.join(host, "n6", "127.0.0.6").agent
        server.apply(
            manifest(echo_app("six", "north", {"HTTP_PORT": "8080"}, node="n6"), service("six", "north", http=8080))
        )
        until(lambda: mesh.client.get("http://six:8080/").get("status") == 200, "it answers")
        unused = mesh.nodes.token("n6")
        removed = server.tulle("node", "remove", "n6")
        assert (removed.returncode, removed.stdout) == (0, "node/n6 removed (1 workload, 2 connections)\n")
        assert removed.stderr == "still to run on n6, and now nowhere: app north/six\n"
        assert "n6" not in server.ok("node", "list")
        until(lambda: mesh.client.get("http://six:8080/").get("status") == 503, "nobody calls it any more")
        until(lambda: "node n6 is not enrolled" in agent.output, "its agent is told why")
        assert [w for w in server.objects("workloads", "north") if w["spec"]["node"] == "n6"] == []
        assert mesh.client.get("http://two:8080/")["status"] == 200
        with installation(ROOT) as again:
            refused = mesh.nodes.agent(again, "n6", "127.0.0.7", unused)
            assert refused.ended() == 1
            assert "the join token is not known" in refused.output
        missing = server.tulle("node", "remove", "n6")
        assert (missing.returncode, missing.stderr) == (1, "error: node/n6 does not exist\n")
        server.ok("delete", "app/six", "service/six", "-n", "north")
