"""Processes of Apps are found by what is written down, and ended with what they started."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes.apps import WEB

from tulle.agent.app_process import AppProcess, AppProcesses, ProcessSettings
from tulle.agent.capture.process import Launched, LaunchError
from tulle.agent.pidfd import identity_of
from tulle.model.names import WorkloadName

WEB_1, WEB_2 = WorkloadName("shop", "web-1"), WorkloadName("shop", "web-2")


class Node:
    """The processes of a node, and programs to be some of them."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = directory
        settings = ProcessSettings(directory, directory / "logs", (), {})
        self.processes = AppProcesses(settings, lambda name: directory / "ns" / str(name), lambda: "cluster.local")
        self.programs: list[subprocess.Popen[bytes]] = []

    def program(self) -> Launched:
        program = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.programs.append(program)
        identity = identity_of(program.pid)
        assert identity is not None
        return Launched(identity, 0, str(self.run_dir / "nowhere"))

    def write_down(self, name: WorkloadName, launched: Launched) -> Path:
        record = self.run_dir / "apps" / f"{name.namespace}~{name.name}.json"
        record.parent.mkdir(exist_ok=True)
        record.write_bytes(msgspec.json.encode(launched))
        return record


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for program in node.programs:
        program.kill()
        program.wait()


async def test_an_exit_code_is_known_to_all_who_ask(node: Node) -> None:
    """The kernel tells it once."""
    process = AppProcess(node.program())
    assert process.running
    assert await process.terminate(10) == -signal.SIGTERM
    assert await process.ended() == -signal.SIGTERM
    assert await process.terminate(10) == -signal.SIGTERM
    assert not process.running


async def test_of_a_process_that_had_ended_before_no_code_is_known(node: Node) -> None:
    launched = node.program()
    node.programs[0].kill()
    node.programs[0].wait()
    process = AppProcess(launched)
    assert not process.running
    assert await process.ended() is None


async def test_what_was_started_is_found_until_it_is_forgotten(node: Node) -> None:
    assert node.processes.find(WEB_1) is None
    node.write_down(WEB_1, node.program())
    found = node.processes.find(WEB_1)
    assert found is not None
    assert found.running
    node.processes.forget(WEB_1)
    assert node.processes.find(WEB_1) is None
    node.processes.forget(WEB_1)


async def test_what_is_not_kept_is_ended(node: Node) -> None:
    kept, other = node.program(), node.program()
    node.write_down(WEB_1, kept)
    record = node.write_down(WEB_2, other)
    damaged = record.with_name("shop~web-3.json")
    damaged.write_bytes(b"{")
    await node.processes.end_others({WEB_1})
    assert AppProcess(kept).running
    assert not AppProcess(other).running
    assert not record.exists()
    assert not damaged.exists()


async def test_without_any_there_is_nothing_to_end(node: Node) -> None:
    await node.processes.end_others(())


async def test_what_the_machine_refuses_is_an_application_that_cannot_be_started(node: Node) -> None:
    (node.run_dir / "apps").write_text("in the way")
    with pytest.raises(LaunchError, match="web cannot be started"):
        await node.processes.start(WEB_1, WEB)
