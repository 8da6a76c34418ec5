"""The control plane hears of every change, of several at once where it is slow, and again until it has heard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.records import WEB_1

from tulle.agent.report import Reporter
from tulle.agent.roster import Roster
from tulle.identity.errors import Denied, Unavailable
from tulle.identity.messages import ReportReply, ReportRequest
from tulle.model.names import WorkloadName
from tulle.model.problem import Problem

pytestmark = pytest.mark.virtual_time

WEB_2 = replace(WEB_1, name=WorkloadName("shop", "web-2"))


class FakeControlPlane:
    """Takes a report in `seconds`, raises the `failures` first."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.failures: list[Exception] = []
        self.problems: tuple[Problem, ...] = ()
        self.told: list[tuple[float, list[str]]] = []

    async def report(self, request: ReportRequest) -> ReportReply:
        assert request.node == "n1"
        self.told.append((asyncio.get_running_loop().time(), [w.metadata.name for w in request.workloads]))
        await asyncio.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)
        return ReportReply(self.problems)


class Reporting:
    def __init__(self, directory: Path) -> None:
        self.control_plane = FakeControlPlane()
        self.roster = Roster(directory / "workloads.json")
        self.heard = 0
        self.reporter = Reporter("n1", self.roster, self.control_plane.report, self._hear, lambda: 0)

    def _hear(self) -> None:
        self.heard += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reporter.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
def reporting(tmp_path: Path) -> Reporting:
    return Reporting(tmp_path)


async def test_an_empty_roster_is_told_too(reporting: Reporting) -> None:
    """The control plane may know of workloads that an earlier agent had."""
    async with reporting.running():
        assert await reporting.reporter.reported(1)
    assert reporting.control_plane.told == [(0, [])]
    assert reporting.heard == 1


async def test_changes_during_a_report_are_told_together(reporting: Reporting) -> None:
    reporting.control_plane.seconds = 3
    async with reporting.running():
        await asyncio.sleep(1)
        reporting.roster.put(WEB_1)
        reporting.roster.put(WEB_2)
        reporting.roster.set_state(WEB_1.name, "Ready")
        assert not reporting.reporter.up_to_date
        assert await reporting.reporter.reported(10)
        assert reporting.reporter.up_to_date
        await asyncio.sleep(100)
    assert reporting.control_plane.told == [(0, []), (3, ["web-1", "web-2"])]


async def test_reported_waits_for_what_the_roster_holds_when_it_is_asked(reporting: Reporting) -> None:
    reporting.control_plane.seconds = 3
    async with reporting.running():
        reporting.roster.put(WEB_1)
        await asyncio.sleep(1)
        asked = asyncio.create_task(reporting.reporter.reported(10))
        await asyncio.sleep(1)
        reporting.roster.put(WEB_2)
        assert await asked
        assert asyncio.get_running_loop().time() == 3


async def test_reported_has_a_limit(reporting: Reporting) -> None:
    reporting.control_plane.seconds = 3
    async with reporting.running():
        assert not await reporting.reporter.reported(2)
        assert asyncio.get_running_loop().time() == 2


async def test_failures_are_repeated_with_a_growing_pause_of_5_seconds_at_most(reporting: Reporting) -> None:
    reporting.control_plane.failures = [Unavailable("away")] * 6 + [Denied("no")]
    async with reporting.running():
        assert await reporting.reporter.reported(100)
    assert [time for time, _ in reporting.control_plane.told] == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5]
    assert reporting.heard == 1


async def test_after_a_success_pauses_are_short_again(reporting: Reporting) -> None:
    reporting.control_plane.failures = [Unavailable("away")] * 3
    async with reporting.running():
        await reporting.reporter.reported(100)
        reporting.control_plane.failures = [Unavailable("away")]
        reporting.roster.put(WEB_1)
        assert await reporting.reporter.reported(0.6)


async def test_what_the_control_plane_refuses_is_known_until_it_takes_it(reporting: Reporting) -> None:
    refusal = Problem("spec.serviceAccount", "no", resource="Workload/shop/web-1")
    reporting.control_plane.problems = (refusal,)
    async with reporting.running():
        reporting.roster.put(WEB_1)
        await reporting.reporter.reported(1)
        assert reporting.reporter.refusal(WEB_1.name) == refusal
        assert reporting.reporter.refusal(WEB_2.name) is None
        reporting.control_plane.problems = ()
        reporting.roster.set_state(WEB_1.name, "Ready")
        await reporting.reporter.reported(1)
        assert reporting.reporter.refusal(WEB_1.name) is None


async def test_a_control_plane_that_may_have_forgotten_is_told_again(reporting: Reporting) -> None:
    async with reporting.running():
        reporting.roster.put(WEB_1)
        assert await reporting.reporter.reported(1)
        before = len(reporting.control_plane.told)
        reporting.roster.tell_again()
        assert await reporting.reporter.reported(1)
    assert reporting.control_plane.told[before:] == [(0, ["web-1"])]
