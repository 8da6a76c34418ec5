"""A node runs as many replicas of each App as it says, of the version that it says, and never fewer that are ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.apps import WEB
from tests.fakes.processes import FakeProcesses
from tests.fakes.workloads import FakeWorkloads

from tulle.agent.applications import Applications, digest_of
from tulle.agent.finished import FinishedReplicas
from tulle.model.names import WorkloadName
from tulle.view.types import AppView, HttpProbeView, NodeView, ProbeView, TcpProbeView


def test_the_number_of_replicas_makes_no_other_version() -> None:
    assert digest_of(replace(WEB, replicas=7)) == digest_of(WEB)


def test_anything_else_does() -> None:
    probes = (ProbeView(TcpProbeView(80)), ProbeView(HttpProbeView(80)), ProbeView(TcpProbeView(80), period=5))
    others = [
        replace(WEB, command=("other",)),
        replace(WEB, env={"A": "1"}),
        *(replace(WEB, readiness=p) for p in probes),
    ]
    assert len({digest_of(app) for app in (WEB, *others)}) == 6


class LaterAppView(AppView, frozen=True):
    """As a later Tulle may have it."""

    niceness: int = 0


LaterAppView.__name__ = AppView.__name__


def test_a_field_that_only_a_later_tulle_knows_changes_nothing_until_it_is_used() -> None:
    values = {name: getattr(WEB, name) for name in WEB.__struct_fields__}
    assert digest_of(LaterAppView(**values)) == digest_of(WEB)
    assert digest_of(LaterAppView(**values, niceness=5)) != digest_of(WEB)


class Node:
    """An agent's applications among fakes; `wants` is what the control plane says."""

    def __init__(self, directory: Path) -> None:
        self.host = FakeWorkloads(directory)
        self.processes = FakeProcesses()
        self.finished = directory / "finished.json"
        self.applications = Applications(self.host, self.processes, FinishedReplicas(self.finished))

    async def wants(self, *apps: AppView, seconds: float = 0.01) -> None:
        """After so many seconds of it."""
        self.applications.apply(NodeView("n1", "mesh.local", apps))
        await asyncio.sleep(seconds)

    def start_agent_again(self) -> None:
        """Another agent takes over what this one left."""
        self.applications = Applications(self.host, self.processes, FinishedReplicas(self.finished))
        self.applications.adopt(self.host.roster.records())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.applications.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def replicas(self, state: str = "Ready", digest: str | None = None) -> set[WorkloadName]:
        return {r.name for r in self.host.roster.records() if r.state == state and digest in (None, r.digest)}


@pytest.fixture
async def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


V1 = digest_of(WEB)
SECOND = replace(WEB, command=("web", "--v2"))
V2 = digest_of(SECOND)
THREE = replace(WEB, replicas=3)


@pytest.mark.virtual_time
async def test_an_app_has_as_many_replicas_as_it_says(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
        three = node.replicas()
        assert len(three) == 3
        assert {name.name.rpartition("-")[0] for name in three} == {"web"}
        await node.wants(replace(WEB, replicas=5))
        assert len(node.replicas()) == 5
        assert three < node.replicas()
        await node.wants(replace(WEB, replicas=0))
        assert node.host.roster.records() == ()


@pytest.mark.virtual_time
async def test_of_too_many_those_go_that_take_no_requests(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
        first = min(node.replicas())
        node.processes.last[first].ends(1)
        await asyncio.sleep(0.01)
        await node.wants(replace(WEB, replicas=2))
        assert len(node.replicas()) == 2
        assert node.host.roster.get(first) is None


@pytest.mark.virtual_time
async def test_a_deleted_app_leaves(node: Node) -> None:
    async with node.running():
        await node.wants(WEB, replace(WEB, name="other"))
        await node.wants(WEB)
        assert [r.app for r in node.host.roster.records()] == ["web"]
        assert node.host.steps[-2:] == ["drained", "discarded"]


@pytest.mark.virtual_time
async def test_logs_of_those_that_run_and_of_those_that_have_finished_are_kept(node: Node) -> None:
    once = replace(WEB, restart="Never", replicas=3)
    async with node.running():
        await node.wants(once)
        three = node.replicas()
        node.processes.last[min(three)].ends(0)
        await asyncio.sleep(1)
        assert node.processes.logs == three
        await node.wants(replace(once, replicas=2))
        assert len(node.processes.logs) == 2


@pytest.mark.virtual_time
async def test_the_same_again_changes_nothing(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
        before = node.host.roster.version
        await node.wants(THREE)
        assert node.host.roster.version == before


@pytest.mark.virtual_time
async def test_replicas_of_a_changed_app_leave_when_the_new_ones_are_ready(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
        ready_at = asyncio.get_running_loop().time() + 20
        old = node.replicas()
        node.processes.answers = lambda name, probe: name in old or asyncio.get_running_loop().time() >= ready_at
        await node.wants(replace(SECOND, replicas=3), seconds=15)
        assert node.replicas() == node.replicas(digest=V1) == old
        assert len(node.replicas("Starting", V2)) == 3
        await asyncio.sleep(10)
        assert len(node.replicas(digest=V2)) == len(node.host.roster.records()) == 3


@pytest.mark.virtual_time
async def test_a_change_that_never_becomes_ready_is_undone_by_the_old_app(node: Node) -> None:
    async with node.running():
        await node.wants(WEB)
        old = node.replicas()
        node.processes.answers = lambda name, probe: name in old
        await node.wants(SECOND, seconds=100)
        await node.wants(WEB)
        assert node.replicas() == old
        assert len(node.host.roster.records()) == 1


@pytest.mark.virtual_time
async def test_changes_in_a_row_do_not_pile_up(node: Node) -> None:
    async with node.running():
        await node.wants(WEB)
        old = node.replicas()
        node.processes.answers = lambda name, probe: name in old
        for number in range(10):
            await node.wants(replace(WEB, command=("web", str(number))))
        assert node.replicas() == old
        assert len(node.host.roster.records()) == 2


@pytest.mark.virtual_time
async def test_failed_admissions_are_repeated_with_a_growing_pause(node: Node) -> None:
    node.host.refusals = 3 * 7
    async with node.running():
        await node.wants(THREE, seconds=200)
    times = [time for time, _ in node.host.asked]
    assert times[::3] == pytest.approx([0, 1, 3, 7, 15, 31, 61, 91], abs=0.1)
    assert len(times) == 3 * 8
    assert len({name for _, name in node.host.asked}) == len(times)
    assert len(node.replicas()) == 3


@pytest.mark.virtual_time
async def test_a_changed_app_is_not_held_up_by_the_failures_of_another_version(node: Node) -> None:
    node.host.refusals = 5
    async with node.running():
        await node.wants(WEB, seconds=16)
        assert node.host.refusals == 0
        await node.wants(SECOND)
        assert len(node.replicas(digest=V2)) == 1


@pytest.mark.virtual_time
async def test_an_app_that_is_deleted_during_admission_is_not_waited_for(node: Node) -> None:
    node.host.admission = 50
    async with node.running():
        await node.wants(WEB, seconds=1)
        await node.wants()
        await asyncio.sleep(100)
        assert node.host.steps == []
        node.host.admission = 0
        await node.wants(WEB)
        assert len(node.replicas()) == 1


@pytest.mark.virtual_time
async def test_what_has_finished_is_not_made_anew_until_its_app_changes(node: Node) -> None:
    once = replace(WEB, restart="Never")
    async with node.running():
        await node.wants(once)
        (name,) = node.replicas()
        node.processes.last[name].ends(0)
        await asyncio.sleep(100)
        await node.wants(once, seconds=100)
        assert node.host.roster.records() == ()
        await node.wants(replace(once, command=("again",)))
        assert len(node.replicas()) == 1
        assert len(node.host.asked) == 2


@pytest.mark.virtual_time
async def test_what_has_finished_and_is_wanted_no_more_can_be_wanted_again(node: Node) -> None:
    once = replace(WEB, restart="Never")
    async with node.running():
        await node.wants(once)
        (name,) = node.replicas()
        node.processes.last[name].ends(0)
        await asyncio.sleep(1)
        await node.wants()
        await node.wants(once)
        assert len(node.replicas()) == 1


@pytest.mark.virtual_time
@pytest.mark.parametrize("killed_before_it_had_left", [False, True])
async def test_what_has_finished_does_not_run_again_under_the_next_agent(
    node: Node, killed_before_it_had_left: bool
) -> None:
    once = replace(WEB, restart="OnFailure", replicas=2)
    async with node.running():
        await node.wants(once)
        first, second = sorted(node.replicas())
        left = node.host.roster.get(first)
        node.processes.last[first].ends(0)
        await asyncio.sleep(1)
    if killed_before_it_had_left and left is not None:
        node.host.roster.put(left)
    node.start_agent_again()
    async with node.running():
        await node.wants(once, seconds=100)
        assert node.replicas() == {second}
        assert node.host.roster.get(first) is None
        assert len(node.host.asked) == 2
        await node.wants(replace(once, command=("again",)))
        assert len(node.replicas()) == 2
    node.start_agent_again()
    async with node.running():
        await node.wants()
        await node.wants(once)
        assert len(node.replicas()) == 2


@pytest.mark.virtual_time
async def test_adopted_replicas_are_known_by_their_version(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
    left = node.host.roster.records()
    node.start_agent_again()
    async with node.running():
        await node.wants(THREE, seconds=60)
        assert node.host.roster.records() == left
        assert len(node.host.asked) == 3


@pytest.mark.virtual_time
async def test_adopted_replicas_of_an_older_version_serve_until_the_new_ones_do(node: Node) -> None:
    async with node.running():
        await node.wants(WEB)
    left = node.replicas()
    node.start_agent_again()
    ready_at = asyncio.get_running_loop().time() + 20
    node.processes.answers = lambda name, probe: asyncio.get_running_loop().time() >= ready_at
    async with node.running():
        await node.wants(SECOND, seconds=10)
        assert node.replicas() == left
        await asyncio.sleep(20)
        assert node.replicas() == node.replicas(digest=V2)
        assert len(node.host.roster.records()) == 1


@pytest.mark.virtual_time
async def test_an_adopted_replica_that_was_leaving_goes_on(node: Node) -> None:
    async with node.running():
        await node.wants(WEB)
    (name,) = node.replicas()
    process = node.processes.last[name]
    node.host.roster.set_state(name, "Draining")
    node.start_agent_again()
    async with node.running():
        await asyncio.sleep(1)
        assert node.host.roster.get(name) is None
        assert not process.running


@pytest.mark.virtual_time
async def test_stopping_ends_all_at_once_and_starts_none(node: Node) -> None:
    async with node.running():
        await node.wants(THREE)
        processes = list(node.processes.last.values())
        node.host.admission = 50
        await node.wants(THREE, replace(WEB, name="slow"))
        await node.applications.stop_all()
        assert not any(process.running for process in processes)
        assert "drained" not in node.host.steps
        await asyncio.sleep(100)
        assert len(node.host.asked) == 4
        assert len(node.processes.started) == 3
