"""Applications from their first start to their last end: replaced, scaled, restarted, probed, joined by hand."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec import Struct
from tests.e2e.conftest import skip_unless_possible
from tests.e2e.live import (
    ECHO,
    ORDINARY,
    ROOT,
    Client,
    Installation,
    Running,
    echo_app,
    installation,
    manifest,
    service,
    until,
)
from tests.e2e.test_nodes import Nodes

from tulle.agent.app_process import AppProcess
from tulle.agent.capture.process import read_record

pytestmark = pytest.mark.e2e

QUICK = {"periodSeconds": 1, "failureThreshold": 1}


class Mesh(Struct, frozen=True):
    installation: Installation
    caller: Client

    def declare(self, name: str, env: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Applies an App of `echo.py` and its service."""
        self.installation.apply(manifest(echo_app(name, "north", env, **spec), service(name, "north")))

    def ready(self, name: str, count: int = 1) -> set[str]:
        """Waits until exactly so many replicas are ready."""
        return until(
            lambda: found if len(found := self.installation.workloads(name, "north")) == count else set(),
            f"{count} of {name} ready",
        )

    def state(self, name: str) -> set[str]:
        """The states of an App's workloads."""
        every = (w["spec"] for w in self.installation.objects("workloads", "north"))
        return {spec.get("state", "Ready") for spec in every if spec["app"] == name}

    def ask(self, name: str, path: str = "/") -> Any:
        return self.caller.get(f"http://{name}:8080{path}")

    def answered(self, name: str, path: str = "/") -> Any:
        """What the application says, once it is reached."""
        return until(lambda: a["body"] if (a := self.ask(name, path)).get("status") == 200 else None, f"{name} answers")

    def delete(self, name: str) -> None:
        self.installation.ok("delete", "app", name, "-n", "north")
        until(lambda: not self.state(name), f"{name} has gone")


@pytest.fixture(
    scope="module", params=[("sidecar", ROOT), ("node", ORDINARY)], ids=lambda param: f"{param[0]}-{param[1].name}"
)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    mode, user = request.param
    skip_unless_possible(user)
    with installation(user) as made:
        made.up(
            "-f",
            made.write("caller.yaml", manifest(echo_app("caller", "north"), service("caller", "north"))),
            "--mode",
            mode,
        )
        yield Mesh(made, made.inside("north", "caller"))


def test_a_changed_app_is_replaced_without_a_failed_request(mesh: Mesh) -> None:
    mesh.declare("changed")
    old = mesh.ready("changed")
    mesh.answered("changed")
    mesh.caller.ask(kind="load", url="http://changed:8080/?sleep=0.2")
    try:
        mesh.declare("changed", {"NAME": "new", "HTTP_PORT": "8080"})
        until(lambda: mesh.ready("changed").isdisjoint(old) and mesh.state("changed") == {"Ready"}, "it is replaced")
    finally:
        counts = mesh.caller.ask(kind="unload")
    assert set(counts) == {"200"}
    assert mesh.answered("changed")["app"] == "new"
    assert "changed ends after SIGTERM" in mesh.installation.app_log("changed", "north")


def test_replicas_come_and_go_without_a_failed_request(mesh: Mesh) -> None:
    mesh.declare("scaled")
    first = mesh.ready("scaled")
    mesh.answered("scaled")
    mesh.caller.ask(kind="load", url="http://scaled:8080/")
    try:
        mesh.declare("scaled", replicas=3)
        assert first < mesh.ready("scaled", 3)
        assert len({mesh.ask("scaled")["body"]["pid"] for _ in range(30)}) > 1
        mesh.declare("scaled", replicas=1)
        mesh.ready("scaled", 1)
        until(lambda: mesh.state("scaled") == {"Ready"}, "the others have gone")
    finally:
        counts = mesh.caller.ask(kind="unload")
    assert set(counts) == {"200"}
    mesh.declare("scaled", replicas=0)
    until(lambda: not mesh.state("scaled"), "all have gone")
    until(lambda: mesh.ask("scaled")["status"] == 503, "nobody serves it")


def test_one_that_crashes_is_started_again(mesh: Mesh) -> None:
    mesh.declare("crashes")
    name = mesh.ready("crashes")
    before = mesh.answered("crashes")["pid"]
    mesh.ask("crashes", "/exit?code=3")
    until(lambda: mesh.answered("crashes")["pid"] != before, "there is a new process")
    assert mesh.ready("crashes") == name
    assert f"{next(iter(name))}.north ended with 3, started again in 0.5 s" in mesh.installation.log


def test_one_that_crashes_at_once_is_started_ever_more_slowly(mesh: Mesh) -> None:
    mesh.declare("hopeless", command=["false"])
    times = re.compile(r"hopeless-\w+\.north ended with 1, started again in (\S+) s")
    until(lambda: len(times.findall(mesh.installation.log)) >= 3, "it crashes a third time")
    assert times.findall(mesh.installation.log)[:3] == ["0.5", "1.0", "2.0"]
    described = mesh.installation.ok("describe", "app", "hopeless", "-n", "north")
    assert "ended with code 1; its log may say why" in described
    mesh.delete("hopeless")


def test_why_one_cannot_be_run_is_told(mesh: Mesh) -> None:
    mesh.declare("impossible", command=["nonexistent"])
    until(lambda: mesh.state("impossible") == {"NotReady"}, "it has been tried")
    reason = "cannot be started: nonexistent: No such file or directory: it is in no directory of PATH="
    assert reason in mesh.installation.ok("describe", "app", "impossible", "-n", "north")
    assert reason in mesh.installation.tulle("status", "-n", "north").stdout
    mesh.declare("impossible")
    mesh.ready("impossible")
    assert "Problems" not in mesh.installation.ok("describe", "app", "impossible", "-n", "north")
    mesh.delete("impossible")


def test_one_that_is_no_longer_alive_is_started_again(mesh: Mesh) -> None:
    alive = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2}
    mesh.declare("broken", livenessProbe=alive)
    mesh.ready("broken")
    before = mesh.answered("broken")["pid"]
    mesh.ask("broken", "/break")
    until(lambda: mesh.answered("broken")["pid"] != before, "there is a new process")
    assert "liveness probe" in mesh.installation.log


def test_requests_come_while_a_command_says_so(mesh: Mesh) -> None:
    flag = mesh.installation.directory / "ready"
    mesh.declare("flagged", readinessProbe={"exec": {"command": ["test", "-f", str(flag)]}, **QUICK})
    until(lambda: "flagged serves" in mesh.installation.app_log("flagged", "north"), "it runs")
    assert mesh.state("flagged") <= {"Starting", "NotReady"}
    assert mesh.ask("flagged")["status"] == 503
    flag.touch()
    mesh.ready("flagged")
    assert mesh.answered("flagged")["app"] == "flagged"
    flag.unlink()
    until(lambda: mesh.state("flagged") == {"NotReady"}, "it is not ready any more")
    until(lambda: mesh.ask("flagged")["status"] == 503, "nobody serves it")


PROBES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "grpc": ({"readinessProbe": {"grpc": {"port": 9090}}}, {"readinessProbe": {"grpc": {"port": 9000}}}),
    "tcp": ({"readinessProbe": {"tcpSocket": {"port": "tcp"}}}, {"readinessProbe": {"tcpSocket": {"port": 9999}}}),
    "http": (
        {"readinessProbe": {"httpGet": {"port": "http", "path": "/healthz"}}},
        {"readinessProbe": {"httpGet": {"port": "http", "path": "/?status=500"}}},
    ),
    "startup": (
        {"startupProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1}},
        {"startupProbe": {"tcpSocket": {"port": 9999}, "periodSeconds": 1}},
    ),
}


def test_probes_tell_what_serves_from_what_does_not(mesh: Mesh) -> None:
    env = {"HTTP_PORT": "8080", "GRPC_PORT": "9090", "TCP_PORT": "9000"}
    apps = [
        echo_app(f"{what}-{kind}", "north", env, **spec)
        for kind, (right, wrong) in PROBES.items()
        for what, spec in (("right", right), ("wrong", wrong))
    ]
    mesh.installation.apply(manifest(*apps))
    for kind in PROBES:
        mesh.ready(f"right-{kind}")
        assert mesh.state(f"wrong-{kind}") <= {"Starting", "NotReady"}
    mesh.installation.ok("delete", "-f", "-", stdin=manifest(*apps))


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Never", 3, False), ("Never", 0, False), ("OnFailure", 0, False), ("OnFailure", 3, True)],
)
def test_what_has_ended_is_started_again_as_its_policy_says(mesh: Mesh, policy: str, code: int, again: bool) -> None:
    name = f"ends-{policy.lower()}-{code}"
    command = ["sh", "-c", f"echo started; sleep 0.3; exit {code}"]
    mesh.installation.apply(manifest(echo_app(name, "north", {}, command=command, restartPolicy=policy)))
    log = lambda: mesh.installation.app_log(name, "north").count("started")  # noqa: E731 (asked again and again)
    until(lambda: log() >= (2 if again else 1), "it ran")
    if not again:
        until(lambda: not mesh.installation.workloads(name, "north"), "it has ended")
        mesh.answered("caller")  # gives it a moment
        assert log() == 1
    mesh.installation.ok("delete", "app", name, "-n", "north")


def test_one_that_does_not_want_to_go_is_ended_after_its_grace(mesh: Mesh) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    spec = {"command": ["python", "-c", stubborn], "terminationGracePeriodSeconds": 1}
    mesh.installation.apply(manifest(echo_app("stubborn", "north", {}, **spec)))
    until(lambda: "deaf" in mesh.installation.app_log("stubborn", "north"), "it runs")
    mesh.delete("stubborn")


def test_a_request_under_way_is_answered_though_its_app_is_deleted(mesh: Mesh) -> None:
    mesh.declare("deleted")
    mesh.ready("deleted")
    mesh.answered("deleted")
    # Each request takes longer than its turn: there is always one under way.
    mesh.caller.ask(kind="load", url="http://deleted:8080/?sleep=1", pause=0)
    mesh.delete("deleted")
    counts = mesh.caller.ask(kind="unload")
    assert set(counts) <= {"200", "503"}
    assert "deleted ends after SIGTERM" in mesh.installation.app_log("deleted", "north")
    until(lambda: mesh.ask("deleted")["status"] == 503, "nobody serves it")


def joined(mesh: Mesh) -> Running:
    program = ("env", "NAME=joined", "HTTP_PORT=8080", "python", ECHO)
    options = ("-n", "north", "--name", "joined", "-l", "app=joined", "--port", "http=8080")
    running = mesh.installation.start("run", *options, "--", *program)
    running.says("joined serves")
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_joins_and_leaves(mesh: Mesh, number: signal.Signals) -> None:
    mesh.installation.apply(manifest(service("joined", "north")))
    running = joined(mesh)
    assert mesh.answered("joined")["app"] == "joined"
    again = mesh.installation.tulle("run", "-n", "north", "--name", "joined", "--", "true")
    assert (again.returncode, "there is a workload joined.north already" in again.stderr) == (1, True)
    assert running.stop(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    named = lambda: [w for w in mesh.installation.objects("workloads", "north") if w["metadata"]["name"] == "joined"]  # noqa: E731
    until(lambda: not named(), "it has left")
    until(lambda: mesh.ask("joined")["status"] == 503, "nobody serves it")


def test_a_program_that_joins_calls_others_and_ends_with_its_own_code(mesh: Mesh) -> None:
    mesh.answered("caller")
    done = mesh.installation.tulle("run", "-n", "north", "--", "sh", "-c", "curl -sf http://caller:8080/; exit 7")
    assert (done.returncode, '"app": "caller"' in done.stdout) == (7, True), done.stderr


def test_a_command_runs_where_an_app_or_a_workload_is(mesh: Mesh) -> None:
    (workload,) = mesh.ready("caller")
    for name in ("caller", workload):
        done = mesh.installation.tulle("exec", "-n", "north", name, "--", "cat", stdin="hello")
        assert (done.returncode, done.stdout) == (0, "hello"), done.stderr


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM)])
def test_a_command_ends_with_its_own_code(mesh: Mesh, command: str, code: int) -> None:
    assert mesh.installation.tulle("exec", "-n", "north", "caller", "--", "sh", "-c", command).returncode == code


def test_a_command_that_is_not_there_is_told(mesh: Mesh) -> None:
    done = mesh.installation.tulle("exec", "-n", "north", "caller", "--", "/nonexistent")
    assert (done.returncode, done.stderr) == (127, "/nonexistent: No such file or directory\n")


def test_a_workload_that_is_not_there_is_told(mesh: Mesh) -> None:
    done = mesh.installation.tulle("exec", "-n", "north", "nobody", "--", "true")
    assert done.returncode == 1
    assert "no workload nobody in namespace north runs on this node" in done.stderr
    assert "hint: there are: " in done.stderr and "caller" in done.stderr


def test_a_command_has_the_terminal(mesh: Mesh) -> None:
    ours, theirs = pty.openpty()
    program = "import os, sys; print(sys.stdin.isatty(), os.get_terminal_size().columns)"
    arguments = ("exec", "-n", "north", "caller", "--", sys.executable, "-c", program)
    try:
        done = subprocess.run(
            mesh.installation.user.tulle(mesh.installation.directory, *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=mesh.installation.environment,
            cwd=mesh.installation.directory,
            timeout=60,
            check=False,
        )
        assert (done.returncode, os.read(ours, 1000).split()[0]) == (0, b"True")
    finally:
        os.close(ours)
        os.close(theirs)


def test_an_app_sees_neither_the_agents_files_nor_the_hosts_network(mesh: Mesh) -> None:
    program = (
        "import os, socket;"
        f"print(os.path.exists({str(mesh.installation.run_dir / 'api.sock')!r}), [n for _, n in socket.if_nameindex()])"
    )
    done = mesh.installation.tulle("exec", "-n", "north", "caller", "--", sys.executable, "-c", program)
    assert done.stdout == "False ['lo']\n", done.stderr
    assert (mesh.installation.run_dir / "api.sock").exists()


def test_what_has_finished_does_not_run_again_under_the_next_agent(bare: Installation) -> None:
    nodes = Nodes(bare)
    host = nodes.join(bare, "n1", "127.0.0.1")

    def app(name: str, policy: str, script: str, **spec: Any) -> dict[str, Any]:
        command = ["sh", "-c", f"echo started; {script}"]
        return echo_app(name, "north", {}, command=command, restartPolicy=policy, node="n1", **spec)

    def started(name: str) -> int:
        return bare.app_log(name, "north").count("started")

    never_ready = {"readinessProbe": {"exec": {"command": ["false"]}}}
    bare.apply(
        manifest(
            app("before", "OnFailure", "exit 0"),
            app("ready", "Never", "sleep 3"),
            app("starting", "Never", "sleep 3", **never_ready),
        )
    )
    names = ("before", "ready", "starting")
    until(lambda: all(map(started, names)), "all run")
    until(lambda: not bare.workloads("before", "north"), "one has finished")
    found = [read_record(*bare.run_dir.glob(f"apps/*~{name}-*.json")) for name in ("ready", "starting")]
    host.agent.kill()
    until(lambda: not any(launched and AppProcess(launched).running for launched in found), "the others have, too")
    nodes.agent(bare, "n1", "127.0.0.1", nodes.token("n1"))
    bare.apply(manifest(echo_app("after", "north", node="n1")))
    until(lambda: bare.workloads("after", "north"), "the next agent does what it has to")
    assert [w["spec"]["app"] for w in bare.objects("workloads", "north")] == ["after"]
    assert [started(name) for name in names] == [1, 1, 1]

    bare.apply(manifest(app("before", "OnFailure", "exit 0 # and another")))
    until(lambda: started("before") == 2, "what has changed runs")
    for name in (*names, "after"):
        bare.ok("delete", "app", name, "-n", "north")
    until(lambda: not bare.objects("workloads", "north"), "all have gone")
