"""A replica's process is started, watched and started again as its App says; it leaves in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.apps import WEB
from tests.fakes.processes import FakeProcess, FakeProcesses
from tests.fakes.workloads import FakeWorkloads

from tulle.agent.host import NotAdmitted
from tulle.agent.replica import Replica
from tulle.model.names import AppName, WorkloadName
from tulle.view.types import AppView, ProbeView, TcpProbeView

pytestmark = pytest.mark.virtual_time

NAME = WorkloadName("shop", "web-1")
LIVENESS = ProbeView(TcpProbeView(3), period=10, failure_threshold=3)


class Setting:
    """A replica among fakes. `changes` are the values of `ready` when it said that it changed."""

    def __init__(self, directory: Path) -> None:
        self.host = FakeWorkloads(directory)
        self.processes = FakeProcesses()
        self.changes: list[bool] = []
        self.noted = False
        self.replica = self.make()

    def make(self, admitted: bool = False, ready: bool = False) -> Replica:
        return Replica(
            self.host, self.processes, NAME, AppName("shop", "web"), "d1", self._changed, admitted=admitted, ready=ready
        )

    def _changed(self, replica: Replica) -> None:
        self.changes.append(replica.ready)
        self.noted = replica.finished

    @property
    def process(self) -> FakeProcess:
        return self.processes.last[NAME]

    @property
    def state(self) -> str | None:
        record = self.host.roster.get(NAME)
        return record.state if record else None

    @property
    def message(self) -> str | None:
        record = self.host.roster.get(NAME)
        return record.message if record else None

    @contextlib.asynccontextmanager
    async def running(self, app: AppView | None) -> AsyncIterator[asyncio.Task[None]]:
        """The replica's life from its admission on, ended like that of an agent."""
        if app is not None:
            self.replica.learn(app)
        if not self.replica.admitted:
            await self.replica.admit()
        task = asyncio.create_task(self.replica.run())
        await settled()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})


async def settled() -> None:
    """What can happen without time has happened."""
    await asyncio.sleep(0.001)


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_it_is_ready_when_its_probes_say_so(setting: Setting) -> None:
    setting.processes.answers = lambda name, probe: asyncio.get_running_loop().time() >= 5
    async with setting.running(WEB):
        assert (setting.replica.admitted, setting.replica.ready, setting.state) == (True, False, "Starting")
        await asyncio.sleep(6)
        assert (setting.replica.ready, setting.state, setting.changes) == (True, "Ready", [True])


async def test_it_is_not_ready_any_more_when_its_process_has_ended(setting: Setting) -> None:
    async with setting.running(WEB):
        setting.process.ends(1)
        await settled()
        assert (setting.state, setting.changes) == ("NotReady", [True, False])


async def test_restarts_back_off_and_recover(setting: Setting) -> None:
    setting.processes.answers = lambda name, probe: False
    async with setting.running(WEB):
        for wait in (1, 2, 3):
            setting.process.ends(1)
            await asyncio.sleep(wait)
        await asyncio.sleep(100)
        setting.process.ends(1)
        await asyncio.sleep(0.6)
    assert setting.processes.times(NAME) == pytest.approx([0, 0.5, 2, 5, 106.5], abs=0.01)


@pytest.mark.parametrize(
    ("restart", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("OnFailure", -9, True),
        ("OnFailure", None, True),  # not a child of this agent: nobody knows
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
async def test_the_app_says_whether_it_is_started_again(
    setting: Setting, restart: str, code: int | None, again: bool
) -> None:
    async with setting.running(replace(WEB, restart=restart)) as life:
        setting.process.ends(code)
        await asyncio.sleep(1)
        assert (life.done(), setting.replica.finished) == (not again, not again)
        assert len(setting.processes.times(NAME)) == (2 if again else 1)


async def test_one_that_has_finished_is_out_of_the_mesh_without_a_wait_for_clients(setting: Setting) -> None:
    async with setting.running(replace(WEB, restart="Never")) as life:
        setting.process.ends(0)
        await life
    assert setting.host.steps == ["admitted", "discarded"]
    assert setting.processes.last == {}


async def test_one_that_has_finished_says_so_before_it_goes(setting: Setting) -> None:
    async with setting.running(replace(WEB, restart="Never")) as life:
        seen = []

        async def discard(name: WorkloadName) -> None:
            seen.append(setting.noted)

        setting.host.discard = discard
        setting.process.ends(0)
        await life
    assert seen == [True]


@pytest.mark.parametrize(("restart", "again"), [("Never", False), ("OnFailure", True), ("Always", True)])
async def test_one_that_ended_while_no_agent_was_there_has_finished_if_it_may_not_run_again(
    setting: Setting, restart: str, again: bool
) -> None:
    async with setting.running(replace(WEB, restart=restart)):
        pass
    setting.process.ends(None)
    setting.replica = setting.make(admitted=True, ready=True)
    async with setting.running(replace(WEB, restart=restart)) as life:
        assert (life.done(), setting.replica.finished) == (not again, not again)
        assert len(setting.processes.times(NAME)) == (2 if again else 1)


async def test_a_dead_one_is_ended_and_started_again(setting: Setting) -> None:
    setting.processes.answers = lambda name, probe: probe is not LIVENESS
    async with setting.running(replace(WEB, liveness=LIVENESS, termination_grace=7)):
        first = setting.process
        await asyncio.sleep(20.2)
        assert first.grace == 7
        assert setting.message == "did not pass its startup or liveness probe"
        await asyncio.sleep(0.8)
        assert setting.process is not first
        assert setting.changes == [True, False, True]


async def test_what_cannot_be_started_is_tried_again(setting: Setting) -> None:
    setting.processes.cannot_start = True
    async with setting.running(WEB):
        await asyncio.sleep(1)
        assert (setting.state, setting.message) == ("NotReady", "cannot be started: there is no such program")
        setting.processes.cannot_start = False
        await asyncio.sleep(1)
        assert (setting.state, setting.message) == ("Ready", "")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "ended with code 3; its log may say why"),
        (-9, "was ended by SIGKILL; its log may say why"),
        (None, "ended; its log may say why"),
    ],
)
async def test_how_it_ended_is_told_until_it_is_ready_again(setting: Setting, code: int | None, message: str) -> None:
    ready_at = 0.0
    setting.processes.answers = lambda name, probe: asyncio.get_running_loop().time() >= ready_at
    async with setting.running(WEB):
        ready_at = 10
        setting.process.ends(code)
        await asyncio.sleep(5)
        assert (setting.state, setting.message) == ("NotReady", message)
        await asyncio.sleep(10)
        assert (setting.state, setting.message) == ("Ready", "")


async def test_leaving_is_out_of_services_then_the_process_then_the_mesh(setting: Setting) -> None:
    async with setting.running(replace(WEB, termination_grace=7)) as life:
        process = setting.process
        setting.replica.leave()
        await life
    assert setting.host.steps == ["admitted", "drained", "discarded"]
    assert process.grace == 7
    assert not setting.replica.finished
    assert setting.processes.last == {}


async def test_while_it_leaves_its_process_runs_until_clients_have_heard(setting: Setting) -> None:
    async with setting.running(WEB) as life:
        seen = []

        async def drain(name: WorkloadName) -> None:
            seen.append(setting.process.running)

        setting.host.drain = drain
        setting.replica.leave()
        await life
        assert seen == [True]


async def test_killing_ends_the_process_and_nothing_else(setting: Setting) -> None:
    async with setting.running(WEB) as life:
        process = setting.process
        setting.replica.kill()
        await life
    assert process.grace == WEB.termination_grace
    assert setting.host.steps == ["admitted"]


async def test_a_wait_for_the_next_start_ends_with_leaving(setting: Setting) -> None:
    async with setting.running(WEB) as life:
        setting.process.ends(1)
        await settled()
        setting.replica.leave()
        await life
        assert asyncio.get_running_loop().time() < 0.5


async def test_cancelling_leaves_everything_to_the_next_agent(setting: Setting) -> None:
    async with setting.running(WEB):
        pass
    assert setting.process.running
    assert (setting.state, setting.host.steps) == ("Ready", ["admitted"])


async def test_an_adopted_process_is_not_started_again_and_stays_ready(setting: Setting) -> None:
    async with setting.running(WEB):
        pass
    process = setting.process
    setting.processes.answers = lambda name, probe: asyncio.get_running_loop().time() > 5
    setting.replica = setting.make(admitted=True, ready=True)
    async with setting.running(WEB):
        await asyncio.sleep(30)
    assert setting.process is process
    assert (setting.state, len(setting.processes.times(NAME))) == ("Ready", 1)


async def test_an_adopted_one_whose_app_is_gone_is_ended(setting: Setting) -> None:
    async with setting.running(WEB):
        pass
    process = setting.process
    setting.replica = setting.make(admitted=True, ready=True)
    async with setting.running(None) as life:
        assert process.running
        setting.replica.leave()
        await life
    assert process.grace == 10
    assert setting.host.steps == ["admitted", "drained", "discarded"]


async def test_an_adopted_one_whose_process_has_ended_is_started_and_not_ready_before_it_is(setting: Setting) -> None:
    async with setting.running(WEB):
        pass
    setting.process.ends(None)
    setting.processes.answers = lambda name, probe: asyncio.get_running_loop().time() > 5
    setting.replica = setting.make(admitted=True, ready=True)
    async with setting.running(WEB):
        assert setting.process.running
        assert setting.state == "NotReady"
        await asyncio.sleep(6)
        assert setting.state == "Ready"


async def test_who_is_not_admitted_is_told_why(setting: Setting) -> None:
    setting.host.refusals = 1
    setting.replica.learn(WEB)
    with pytest.raises(NotAdmitted):
        await setting.replica.admit()
    assert not setting.replica.admitted
