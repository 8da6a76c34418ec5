"""Verdicts follow Kubernetes' rules for startup, readiness and liveness probes."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.fakes.apps import WEB

from tulle.agent.health import Streak, follow_health, readiness_of
from tulle.view.types import AppView, ProbeView, TcpProbeView

pytestmark = pytest.mark.virtual_time

READY, NOT_READY, DEAD = True, False, "dead"

STARTUP = ProbeView(TcpProbeView(1), period=5, failure_threshold=3)
READINESS = ProbeView(TcpProbeView(2), period=10, failure_threshold=3)
LIVENESS = ProbeView(TcpProbeView(3), period=10, failure_threshold=3)


class Application:
    """Answers each probe with what it is told to, the last answer for ever, and notes when it was asked."""

    def __init__(self, **answers: list[bool]) -> None:
        probes = {"startup": STARTUP, "readiness": READINESS, "liveness": LIVENESS}
        self._answers: dict[int, Iterator[bool]] = {
            probes[name].check.port: itertools.chain(said, itertools.repeat(said[-1])) for name, said in answers.items()
        }
        self.asked: dict[int, list[float]] = {}

    async def check(self, probe: ProbeView) -> bool:
        assert isinstance(probe.check, TcpProbeView)
        self.asked.setdefault(probe.check.port, []).append(asyncio.get_running_loop().time())
        return next(self._answers[probe.check.port])


class Enough(Exception):
    """Ends a run whose application would live for ever."""


async def told(
    app: AppView, application: Application, changes: int = 99, ready: bool = False
) -> list[tuple[float, object]]:
    """What is told about an application, with the times, up to so many changes of readiness or its death."""
    now = asyncio.get_running_loop().time
    heard: list[tuple[float, object]] = []

    def tell(ready: bool) -> None:
        heard.append((now(), ready))
        if len(heard) == changes:
            raise Enough

    try:
        await follow_health(app, application.check, tell, ready)
    except* Enough:
        pass
    return heard if len(heard) == changes else [*heard, (now(), DEAD)]


def observed(probe: ProbeView, *results: bool) -> bool | None:
    streak = Streak()
    for result in results:
        streak = streak.observe(result, probe)
    return streak.passing


def test_a_streak_says_nothing_before_a_threshold() -> None:
    probe = replace(READINESS, success_threshold=2, failure_threshold=2)
    assert observed(probe, True) is None
    assert observed(probe, True, False, True) is None
    assert observed(probe, True, True) is True
    assert observed(probe, False, False) is False


def test_a_verdict_turns_only_at_a_threshold_in_a_row() -> None:
    probe = replace(READINESS, success_threshold=2, failure_threshold=3)
    assert observed(probe, True, True, False, False, True, False, False) is True
    assert observed(probe, True, True, False, False, False) is False
    assert observed(probe, False, False, False, True, False, True) is False
    assert observed(probe, False, False, False, True, True) is True


def test_without_a_readiness_probe_the_first_port_decides() -> None:
    assert readiness_of(replace(WEB, readiness=READINESS)) is READINESS
    assert readiness_of(replace(WEB, ports=(("http", 8080), ("admin", 9000)))) == ProbeView(TcpProbeView(8080))
    assert readiness_of(replace(WEB, ports=())) is None


async def test_without_probes_and_ports_it_is_ready_at_once() -> None:
    assert await told(replace(WEB, ports=()), Application(), 1) == [(0, READY)]


async def test_until_the_first_success_readiness_is_asked_quickly() -> None:
    application = Application(readiness=[False, False, False, False, True])
    assert await told(replace(WEB, readiness=READINESS), application, 1) == [(1.0, READY)]
    assert application.asked[2] == [0, 0.25, 0.5, 0.75, 1.0]


async def test_a_start_is_no_news() -> None:
    """NotReady is what a replica is anyway before it was ready."""
    application = Application(readiness=[False] * 10 + [True])
    assert await told(replace(WEB, readiness=READINESS), application, 1) == [(2.5, READY)]


async def test_one_failure_after_ready_changes_nothing_but_a_row_does() -> None:
    application = Application(readiness=[True, False, True, False, False, False, True])
    heard = await told(replace(WEB, readiness=READINESS), application, 3)
    assert heard == [(0, READY), (50, NOT_READY), (60, READY)]


async def test_one_that_was_ready_before_is_so_until_a_row_of_failures() -> None:
    application = Application(readiness=[False, False, False, True])
    heard = await told(replace(WEB, readiness=READINESS), application, 2, ready=True)
    assert heard == [(20, NOT_READY), (30, READY)]


async def test_readiness_waits_for_its_initial_delay() -> None:
    application = Application(readiness=[True])
    assert await told(replace(WEB, readiness=replace(READINESS, initial_delay=7)), application, 1) == [(7, READY)]


async def test_a_slow_probe_is_not_asked_more_often_than_its_short_period() -> None:
    application = Application(readiness=[False, False, True])
    await told(replace(WEB, readiness=replace(READINESS, period=0.1)), application, 1)
    assert application.asked[2] == pytest.approx([0, 0.1, 0.2])


async def test_nothing_else_is_asked_before_startup_has_succeeded() -> None:
    app = replace(WEB, startup=STARTUP, readiness=READINESS, liveness=LIVENESS)
    application = Application(startup=[False, False, True], readiness=[True], liveness=[True])
    assert await told(app, application, 1) == [(10, READY)]
    assert application.asked[2] == [10]
    assert application.asked[3] == [10]


async def test_a_start_that_takes_too_long_is_death() -> None:
    app = replace(WEB, startup=STARTUP, readiness=READINESS)
    application = Application(startup=[False], readiness=[True])
    assert await told(app, application) == [(10, DEAD)]
    assert 2 not in application.asked


async def test_liveness_kills_after_failures_in_a_row() -> None:
    app = replace(WEB, readiness=READINESS, liveness=LIVENESS)
    application = Application(readiness=[True], liveness=[True, False, False, True, False])
    assert await told(app, application) == [(0, READY), (60, DEAD)]


async def test_not_being_ready_kills_nothing() -> None:
    app = replace(WEB, readiness=READINESS, liveness=LIVENESS)
    application = Application(readiness=[True, False], liveness=[True])
    assert await told(app, application, 2) == [(0, READY), (30, NOT_READY)]


async def test_who_stops_listening_leaves_no_probe_behind() -> None:
    application = Application(readiness=[True], liveness=[True])
    await told(replace(WEB, readiness=READINESS, liveness=LIVENESS), application, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
