"""The workload of a process that joined is ready when all its ports accept, and gone when the process has ended."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.records import WEB_1
from tests.fakes.workloads import FakeWorkloads

from tulle.agent.host import Admission, NotAdmitted
from tulle.agent.joined import Joined
from tulle.agent.pidfd import identity_of

ADMISSION = Admission(WEB_1.name, "web", "sidecar", {}, (("http", 8080), ("admin", 9000)))


@pytest.fixture
def host(tmp_path: Path) -> FakeWorkloads:
    return FakeWorkloads(tmp_path)


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


class Listening:
    """Which ports accept."""

    def __init__(self) -> None:
        self.ports: set[int] = set()

    async def accepts(self, network: Path, port: int) -> bool:
        assert str(network) == WEB_1.network
        return port in self.ports


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
async def joined(host: FakeWorkloads, listening: Listening) -> AsyncIterator[Joined]:
    tasks = asyncio.TaskGroup()
    await tasks.__aenter__()
    yield Joined(tasks, host, listening.accepts)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await tasks.__aexit__(None, None, None)


async def until_state(host: FakeWorkloads, state: str | None) -> None:
    async with asyncio.timeout(20):
        while (record := host.roster.get(WEB_1.name)) is not None and record.state != state:
            await host.roster.changed(host.roster.version)
    assert (record.state if record else None) == state


async def test_it_is_ready_when_all_ports_accept_and_gone_with_its_process(
    host: FakeWorkloads, listening: Listening, joined: Joined, program: subprocess.Popen[bytes]
) -> None:
    identity = identity_of(program.pid)
    assert identity is not None
    record = await joined.admit(ADMISSION, identity)
    assert host.roster.get(WEB_1.name) == record
    assert (record.process, record.state) == (identity, "Starting")
    listening.ports = {8080}
    await asyncio.sleep(0)
    assert host.roster.get(WEB_1.name) == record
    listening.ports = {8080, 9000}
    await until_state(host, "Ready")
    program.kill()
    await until_state(host, None)
    assert host.steps == ["admitted", "discarded"]


async def test_without_ports_it_is_ready_at_once(
    host: FakeWorkloads, joined: Joined, program: subprocess.Popen[bytes]
) -> None:
    identity = identity_of(program.pid)
    assert identity is not None
    await joined.admit(replace(ADMISSION, ports=()), identity)
    await until_state(host, "Ready")


async def test_a_process_that_has_ended_meanwhile_leaves_nothing(host: FakeWorkloads, joined: Joined) -> None:
    own = identity_of(os.getpid())
    assert own is not None
    await joined.admit(ADMISSION, replace(own, start_time=own.start_time - 1))
    await until_state(host, None)


async def test_those_of_an_earlier_agent_are_watched(
    host: FakeWorkloads, joined: Joined, program: subprocess.Popen[bytes]
) -> None:
    record = replace(WEB_1, app="", process=identity_of(program.pid), state="Ready")
    host.roster.put(record)
    joined.adopt([record])
    await asyncio.sleep(0)
    assert host.roster.get(WEB_1.name) == record
    program.kill()
    await until_state(host, None)


async def test_who_is_not_admitted_is_not_watched(host: FakeWorkloads, joined: Joined) -> None:
    own = identity_of(os.getpid())
    assert own is not None
    host.refusals = 1
    with pytest.raises(NotAdmitted):
        await joined.admit(ADMISSION, own)
    assert host.steps == []
