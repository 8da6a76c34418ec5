"""`tulle up` from start to end: what it refuses, when it ends and how, and that nothing of it stays."""

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from tests.e2e.live import Done, Installation, echo_app, manifest, service, until

from tulle.agent.mesh_ports import MESH_PORTS

pytestmark = pytest.mark.e2e

BROKEN = """
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {name: one, namespace: north}
spec:
  comand: [python]
"""


def one(mesh: Installation, **spec: object) -> str:
    """A file with one application and its service."""
    return mesh.write("one.yaml", manifest(echo_app("one", "north", **spec), service("one", "north")))


def asked(mesh: Installation) -> Done:
    return mesh.tulle("exec", "-n", "north", "one", "--", "curl", "-sf", "http://one:8080/")


def answers(mesh: Installation) -> str:
    done = asked(mesh)
    assert done.returncode == 0, done.stderr
    name: str = json.loads(done.stdout)["app"]
    return name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing(anybody: Installation, number: signal.Signals) -> None:
    up = anybody.up("-f", one(anybody))
    anybody.note()
    assert up.stop(number) == 0
    anybody.assert_nothing_left()


def test_a_signal_while_it_starts_stops_it_too(bare: Installation) -> None:
    up = bare.start("up", "-f", one(bare, readinessProbe={"exec": {"command": ["false"]}}))
    until(lambda: list(bare.run_dir.glob("apps/*.json")), "the application runs")
    bare.note()
    assert up.stop(signal.SIGINT) == 1
    bare.assert_nothing_left()


def killed(installation: Installation) -> str:
    """A mesh was killed; returns the file that it ran."""
    file = one(installation)
    up = installation.up("-f", file)
    installation.note()
    up.kill()
    return file


def test_what_a_killed_one_left_the_next_one_cleans(anybody: Installation) -> None:
    file = killed(anybody)
    assert any(line.startswith("process") for line in anybody.left())

    up = anybody.up("-f", file)
    assert answers(anybody) == "one"
    # The process that keeps an ordinary user's namespaces is taken over.
    kept = [f"process {json.loads(path.read_text())['pid']}" for path in anybody.run_dir.glob("holder.json")]

    def only_kept() -> bool:
        return [line for line in anybody.left() if line.startswith("process")] == kept

    until(only_kept, "proxies of the killed one are drained and end")
    anybody.note()
    assert up.stop() == 0
    anybody.assert_nothing_left()


def test_where_everything_was_killed_the_next_one_starts_anew(anybody: Installation) -> None:
    """The process that keeps an ordinary user's namespaces too: their mounts are gone, the files under them are not."""
    file = killed(anybody)
    for line in anybody.left():
        if line.startswith("process "):
            os.kill(int(line.split()[1]), signal.SIGKILL)
    up = anybody.up("-f", file)
    assert answers(anybody) == "one"
    anybody.note()
    assert up.stop() == 0
    anybody.assert_nothing_left()


def test_a_mesh_port_that_somebody_else_took_is_given_up(bare: Installation) -> None:
    """Somebody listens there after the port was chosen and before the proxy does: nobody may be sent to them."""
    if bare.user.uid != 0:
        pytest.skip("an ordinary user's proxies have a network of their own")
    with contextlib.ExitStack() as opened:
        bound = {port: opened.enter_context(socket.socket()) for port in MESH_PORTS}
        for port, each in bound.items():
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # another mesh of this host has it
                each.bind(("127.0.0.1", port))
        up = bare.start("up", "-f", one(bare))
        chosen = until(lambda: mesh_ports(bare), "a mesh port is chosen", pause=0.001)
        for port in chosen:
            bound[port].listen()
        up.says("Ctrl-C stops everything")
        assert not mesh_ports(bare) & chosen
        assert answers(bare) == "one"
        assert up.stop() == 0


def test_a_mesh_port_that_is_taken_while_a_proxy_starts_again_is_given_up(bare: Installation) -> None:
    if bare.user.uid != 0:
        pytest.skip("an ordinary user's proxies have a network of their own")
    up = bare.up("-f", one(bare))
    (port,) = mesh_ports(bare)
    (state,) = bare.run_dir.glob("proxies/*/process.json")
    os.kill(json.loads(state.read_text())["process"]["pid"], signal.SIGKILL)
    with until(lambda: listening(port), "the port is free for others"):
        until(lambda: mesh_ports(bare).isdisjoint({port}), "it has another port")
        until(lambda: asked(bare).returncode == 0, "it answers")
    assert up.stop() == 0


def listening(port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return socket.create_server(("127.0.0.1", port))
    return None


def mesh_ports(mesh: Installation) -> set[int]:
    """Those that the agent has written down."""
    with contextlib.suppress(FileNotFoundError):
        return {record["mesh_port"] for record in json.loads((mesh.run_dir / "workloads.json").read_text())}
    return set()


def test_ends_with_0_after_its_time_if_all_went_well(bare: Installation) -> None:
    assert bare.tulle("up", "-f", one(bare), "--for", "1s").returncode == 0


def test_ends_with_1_if_an_application_is_never_ready(bare: Installation) -> None:
    file = one(bare, readinessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1})
    done = bare.tulle("up", "-f", file, "--for", "1s", "--timeout", "4s")
    assert done.returncode == 1
    assert "not ready after 4 s: one" in done.stderr


def test_ends_with_1_if_an_application_cannot_be_run(bare: Installation) -> None:
    done = bare.tulle("up", "-f", one(bare, command=["/nonexistent/program"]), "--for", "1s", "--timeout", "4s")
    assert done.returncode == 1
    assert "/nonexistent/program: No such file or directory" in bare.log
    assert "one: cannot be started: /nonexistent/program: No such file or directory\n" in done.stderr


def test_ends_with_1_if_an_application_dies(bare: Installation) -> None:
    program = "import time; time.sleep(3); raise SystemExit(3)"
    file = one(bare, command=["python", "-c", program], ports=[], restartPolicy="Never")
    done = bare.tulle("up", "-f", file, "--for", "6s")
    assert done.returncode == 1
    assert "no longer ready: one" in done.stderr


def test_what_is_deleted_is_not_missed(bare: Installation) -> None:
    up = bare.up("-f", one(bare))
    bare.ok("delete", "app", "one", "-n", "north")
    until(lambda: not bare.objects("workloads", "north"), "it is gone")
    assert up.stop() == 0


def test_problems_are_told_before_anything_starts(bare: Installation) -> None:
    done = bare.tulle("up", "-f", bare.write("broken.yaml", BROKEN))
    assert done.returncode == 1
    assert f"{bare.directory}/broken.yaml:6: App/north/one: spec.comand: unknown field" in done.stderr
    assert "hint: did you mean `command`?" in done.stderr
    assert not bare.run_dir.exists()


def test_a_second_one_of_the_same_user_is_refused(anybody: Installation) -> None:
    file = one(anybody)
    anybody.up("-f", file)
    done = anybody.tulle("up", "-f", file)
    assert done.returncode == 1
    assert f"runs in {anybody.run_dir} already" in done.stderr
    assert "Traceback" not in done.stderr
    assert answers(anybody) == "one"
    assert anybody.tulle("status").returncode == 0


def test_a_port_that_is_taken_is_told(anybody: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        anybody.note()
        done = anybody.tulle("up", "-f", one(anybody), "--publish", f"{port}:north/one:8080")
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path(anybody.run_dir).glob("apps/*"))
    anybody.assert_nothing_left()
