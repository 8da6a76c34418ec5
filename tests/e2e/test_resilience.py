"""Whatever of the control plane, the agent and the proxies goes away, traffic goes on, and what comes back fits in.

A client in a workload's namespace calls all the time, in every way there is, and tries nothing again; each request has
an id, which the server writes down. Waits have limits that a slow machine keeps; how long things took is printed.
"""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.e2e.ordinary_user import NOBODY
from tests.e2e.resilience_mesh import KINDS, Call, Mesh, kill, running, until

from tulle.agent.pidfd import runs
from tulle.model.parse import decode_json
from tulle.store import open_store
from tulle.store.protocol import Put

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces need root; run as root, or set CI to fail"
    ),
]

LONGEST = 5.0
"""Seconds that a request may take which finds a proxy dead: it is refused, it does not hang."""


@pytest.fixture(scope="module", params=["sidecar", "node"])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as made:
        yield made


def test_everything_may_go_away_and_come_back(mesh: Mesh) -> None:
    everything_goes_away_and_comes_back(mesh)


@pytest.mark.parametrize("mode", ["sidecar", "node"])
def test_everything_may_go_away_and_come_back_for_an_ordinary_user(mode: str) -> None:
    with running(mode, NOBODY) as mesh:
        everything_goes_away_and_comes_back(mesh)


def everything_goes_away_and_comes_back(mesh: Mesh) -> None:
    workloads = mesh.ready("server")
    applications = mesh.applications()
    with mesh.nothing_lost():
        mesh.kill_server()
        time.sleep(1)

    # One proxy dies while the control plane is away.
    proxy, envoy = mesh.envoy_of("server")
    since = mesh.mark()
    kill(envoy)
    back = until(lambda: mesh.is_live(proxy), "the proxy is back")
    mesh.flows()
    print(f"\na proxy was back after {back:.1f} s; meanwhile {refused(mesh.calls(since))}")

    # The agent dies.
    envoys = mesh.envoys()
    with mesh.nothing_lost((*KINDS, "dns")):
        mesh.kill_agent()
        time.sleep(0.5)
        mesh.start_agent()
        until(mesh.agent_answers, "the agent has taken over")
        mesh.flows(("dns",))
    assert mesh.envoys() == envoys
    assert mesh.applications() == applications
    assert mesh.processes() == mesh.known()

    # The agent and all proxies die: what is left of a node that starts again.
    since = mesh.mark()
    mesh.kill_agent()
    for envoy in envoys.values():
        kill(envoy)
    mesh.start_agent()
    back = until(lambda: all(map(mesh.is_live, envoys)), "the proxies are back")
    mesh.flows()
    print(f"agent and proxies were back after {back:.1f} s; meanwhile {refused(mesh.calls(since))}")
    assert mesh.applications() == applications
    assert mesh.processes() == mesh.known()

    # The control plane comes back.
    envoys = mesh.envoys()
    with mesh.nothing_lost():
        mesh.start_server()
        until(mesh.in_sync, "everything is in sync")
        time.sleep(1)
    assert mesh.ready("server") == workloads
    assert (mesh.envoys(), mesh.applications()) == (envoys, applications)
    assert mesh.processes() == mesh.known()
    assert_no_request_ran_twice(mesh)


def test_a_stopped_agent_leaves_everything_running_for_the_next(mesh: Mesh) -> None:
    known = mesh.known()
    with mesh.nothing_lost((*KINDS, "dns")):
        mesh.kill_agent(signal.SIGTERM)
        assert mesh.known() == mesh.processes() == known
        mesh.start_agent()
        until(mesh.agent_answers, "the agent has taken over")
        until(mesh.in_sync, "everything is in sync")
        mesh.flows(("dns",))
    assert mesh.known() == mesh.processes() == known


def test_what_was_wanted_while_no_agent_was_there_is_done_by_the_next(mesh: Mesh) -> None:
    others = [app(mesh, "gone"), app(mesh, "changed"), app(mesh, "fewer", replicas=2)]
    mesh.apply(*others)
    names = ("gone", "changed", "fewer")
    until(lambda: [len(mesh.ready(name)) for name in names] == [1, 1, 2], "the others run")
    before = mesh.applications()
    with mesh.nothing_lost():
        mesh.kill_agent()
        mesh.api.delete("/v1/namespaces/steady/apps/gone").raise_for_status()
        mesh.apply(app(mesh, "changed", "2"), app(mesh, "fewer"))
        mesh.start_agent()
        until(lambda: [len(mesh.ready(name)) for name in names] == [0, 1, 1], "the others are as they should be")
        until(lambda: len(mesh.applications()) == len(before) - 2, "some have left")
    after = mesh.applications()
    assert {n: i for n, i in after.items() if "server" in n} == {n: i for n, i in before.items() if "server" in n}
    assert not set(after) & {name for name in before if "changed" in name}
    assert [name for name in before.keys() - after.keys() if runs(before[name])] == []
    until(lambda: mesh.processes() == mesh.known(), "their proxies have ended")
    for name in ("changed", "fewer"):
        mesh.api.delete(f"/v1/namespaces/steady/apps/{name}").raise_for_status()
    until(lambda: len(mesh.applications()) == len(before) - 4, "all others have left")


def app(mesh: Mesh, name: str, version: str = "1", replicas: int = 1) -> dict[str, object]:
    """One that serves nobody."""
    command = ["tail", "-n", version, "-f", f"{mesh.out}/server.log"]
    spec = {"node": "n1", "command": command, "replicas": replicas, "serviceAccount": "caller"}
    metadata = {"name": name, "namespace": "steady"}
    return {"apiVersion": "tulle.dev/v1alpha1", "kind": "App", "metadata": metadata, "spec": spec}


def test_a_workload_that_comes_and_goes_disturbs_nobody(mesh: Mesh) -> None:
    with mesh.nothing_lost():
        for number in range(3):
            mesh.apply(app(mesh, "passer-by"))
            until(lambda: mesh.ready("passer-by"), f"it has come, {number}")
            mesh.api.delete("/v1/namespaces/steady/apps/passer-by").raise_for_status()
            until(lambda: not any("passer-by" in name for name in mesh.applications()), "it has gone")


def test_a_damaged_cache_is_kept_aside_and_made_anew(mesh: Mesh) -> None:
    cache = mesh.state_dir / "agent" / "cache"
    until(lambda: len(list(cache.glob("*.xds"))) == len(mesh.envoys()) + 1, "all caches are there")
    files = sorted(cache.glob("*.xds"))
    with mesh.nothing_lost():
        mesh.kill_server()
        mesh.kill_agent()
        for file in files:
            file.write_bytes(file.read_bytes()[:-1])
        files[0].chmod(0o644)
        mesh.start_agent()
        until(mesh.agent_answers, "the agent has taken over")
        time.sleep(1)
        mesh.start_server()
        until(mesh.in_sync, "everything is in sync")
        until(lambda: all(file.exists() for file in files), "the caches are there again")
    assert all(file.with_suffix(".damaged").exists() for file in files)
    log = mesh.log("agent")
    assert f"{files[0]} is open to other users" in log
    assert f"{files[1]} is not used (its checksum is wrong)" in log


def test_an_agent_refuses_a_state_that_is_open_to_others(mesh: Mesh) -> None:
    key = mesh.state_dir / "agent" / "node.pem"
    with mesh.nothing_lost():
        mesh.kill_agent()
        key.chmod(0o644)
        try:
            mesh.start_agent()
            assert mesh.agent is not None
            assert mesh.agent.wait(60) != 0
            assert f"{key} is open to other users" in mesh.log("agent")
        finally:
            key.chmod(0o600)
        mesh.start_agent()
        until(mesh.agent_answers, "the agent has taken over")


def refused(calls: list[Call]) -> str:
    """What happened to the calls that failed; none of them hung."""
    failed = [call for call in calls if not call.ok]
    assert all(call.seconds < LONGEST for call in failed), failed
    return (
        f"{len(failed)} of {len(calls)} failed, the slowest after {max([c.seconds for c in failed], default=0):.2f} s"
    )


def assert_no_request_ran_twice(mesh: Mesh) -> None:
    executed = mesh.executed()
    assert max(executed.values()) == 1
    requests = [c for c in mesh.calls() if c.kind in ("keep-alive", "close", "unary") and c.id.startswith("request")]
    assert [call for call in requests if call.ok and not executed[call.id]] == []


def test_what_a_proxy_refuses_leaves_the_last_good_and_says_so(mesh: Mesh) -> None:
    """Nobody could declare it: it is as if an older Tulle had let it in."""
    probe = ("exec", "-n", "steady", "caller", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")

    def answered() -> str:
        return mesh.tulle(*probe, "http://http:8080/probe")

    def programmed() -> dict[str, str]:
        status = mesh.get("/v1/namespaces/steady/httproutes/probe")["status"]
        found: dict[str, str] = next(c for c in status["parents"][0]["conditions"] if c["type"] == "Programmed")
        return found

    with mesh.nothing_lost():
        mesh.apply(redirecting(302))
        until(lambda: answered() == "302", "the route is in force")
        mesh.kill_server()
        declare(mesh, redirecting(307, "(?=look-ahead)"))
        mesh.start_server()
        until(lambda: programmed()["status"] == "False", "the refusal is known", limit=15)
        assert "invalid perl operator" in programmed()["message"]
        said = mesh.tulle("describe", "-n", "steady", "httproute", "probe")
        assert "Programmed" in said
        assert "invalid perl operator" in said
        refusals = mesh.log("agent").count("refused")
        time.sleep(3)
        assert mesh.log("agent").count("refused") == refusals
        assert answered() == "302"
        assert not mesh.in_sync()
        mesh.apply(redirecting(303))
        until(lambda: answered() == "303", "the next version is in force")
        until(lambda: programmed()["status"] == "True", "it is known to be so")
        until(mesh.in_sync, "everything is in sync")
        mesh.api.delete("/v1/namespaces/steady/httproutes/probe").raise_for_status()


def redirecting(status: int, header_expression: str = ".*") -> dict[str, object]:
    redirect = {"type": "RequestRedirect", "requestRedirect": {"statusCode": status}}
    header = {"name": "x-nobody", "type": "RegularExpression", "value": header_expression}
    rules = [
        {"matches": [{"path": {"type": "Exact", "value": "/probe"}}], "filters": [redirect]},
        {"matches": [{"headers": [header]}], "backendRefs": [{"name": "http", "port": 8080}]},
        {"backendRefs": [{"name": "http", "port": 8080}]},
    ]
    spec = {"parentRefs": [{"group": "", "kind": "Service", "name": "http"}], "rules": rules}
    metadata = {"name": "probe", "namespace": "steady"}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def declare(mesh: Mesh, resource: dict[str, object]) -> None:
    """Writes into the store of a control plane that is away, past all checks."""
    body = json.dumps(resource).encode()

    async def write() -> None:
        store = open_store(f"sqlite:{mesh.state_dir / 'control' / 'tulle.db'}")
        try:
            await store.write([Put(decode_json(body).ref, body)])
        finally:
            await store.close()

    asyncio.run(write())


def test_many_proxies_come_back_to_a_control_plane_that_restarts(mesh: Mesh) -> None:
    crowd = 17 if mesh.mode == "sidecar" else 5  # with the caller and two servers 20 proxies, where each has its own
    mesh.apply(app(mesh, "crowd", replicas=crowd))
    until(lambda: len(mesh.ready("crowd")) == crowd, "the crowd is there", limit=120)
    until(mesh.in_sync, "everything is in sync")
    known = mesh.known()
    with mesh.nothing_lost():
        for _ in range(2):
            mesh.kill_server()
            mesh.start_server()
            back = until(mesh.in_sync, "everything is in sync")
    print(f"\n{len(mesh.proxies())} proxies were in sync {back:.1f} s after the API answered")
    assert mesh.known() == mesh.processes() == known
    mesh.api.delete("/v1/namespaces/steady/apps/crowd").raise_for_status()
    until(lambda: not any("crowd" in name for name in mesh.applications()), "the crowd has gone")


def test_what_the_control_plane_has_acknowledged_outlives_it() -> None:
    mesh = Mesh("sidecar")
    acknowledged = 0
    try:
        mesh.start_server()
        mesh.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "steady"}})
        for _ in range(4):
            killer = threading.Timer(0.5, mesh.kill_server)
            killer.start()
            with contextlib.suppress(httpx.TransportError):
                while True:
                    mesh.apply(service(acknowledged + 1))
                    acknowledged += 1
            killer.join()
            mesh.start_server()
            port = mesh.get("/v1/namespaces/steady/services/counted")["spec"]["ports"][0]["port"]
            # The write under way may or may not have been made.
            assert port in (acknowledged, acknowledged + 1)
            acknowledged = port
    finally:
        mesh.close()
    assert acknowledged > 4


def service(port: int) -> dict[str, object]:
    spec = {"selector": {"app": "nobody"}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "counted", "namespace": "steady"}, "spec": spec}


def test_an_agent_may_start_before_the_control_plane() -> None:
    mesh = Mesh("sidecar")
    try:
        mesh.start_server()
        token = mesh.made_token()
        mesh.kill_server()
        mesh.start_agent(token)
        until(lambda: "this host is no node yet" in mesh.log("agent"), "it says what it waits for")
        mesh.start_server()
        until(lambda: [n["connected"] for n in mesh.get("/v1/nodes")["items"]] == [True], "it has joined")
        mesh.kill_server()
        mesh.kill_agent()
        for cache in (mesh.state_dir / "agent" / "cache").iterdir():
            cache.unlink()
        said = mesh.log("agent").count("no stream to the control plane")
        mesh.start_agent()
        until(lambda: mesh.log("agent").count("no stream to the control plane") > said, "it says what it waits for")
        assert mesh.agent_answers()
        mesh.start_server()
        until(lambda: [n["connected"] for n in mesh.get("/v1/nodes")["items"]] == [True], "it is back")
        mesh.kill_agent(signal.SIGTERM)
    finally:
        mesh.close()
