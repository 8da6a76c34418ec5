"""Says how an application is, from its probes, with Kubernetes' rules.

An application without a readiness probe is ready once its first declared port accepts, or at once without ports: a
request that is sent to what does not listen yet is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from tulle.view.types import AppView, ProbeView, TcpProbeView

QUICK = 0.25
"""Seconds between readiness probes until the first success: nobody waits a whole period for a start."""

Check: TypeAlias = Callable[[ProbeView], Awaitable[bool]]


class Verdict(Enum):
    READY = "ready"
    NOT_READY = "not ready"
    DEAD = "dead"


class Streak(Struct, frozen=True):
    """What one probe has said: `passing` None until either threshold was reached the first time."""

    successes: int = 0
    failures: int = 0
    passing: bool | None = None

    def observe(self, success: bool, probe: ProbeView) -> "Streak":
        """After one more result; the verdict turns when a threshold is reached in a row."""
        if success:
            count = self.successes + 1
            return Streak(count, 0, True if count >= probe.success_threshold else self.passing)
        count = self.failures + 1
        return Streak(0, count, False if count >= probe.failure_threshold else self.passing)


def readiness_of(app: AppView) -> ProbeView | None:
    """The probe that decides about readiness; None: ready as soon as it runs."""
    if app.readiness or not app.ports:
        return app.readiness
    return ProbeView(TcpProbeView(app.ports[0][1]))


async def verdicts(app: AppView, check: Check) -> AsyncIterator[Verdict]:
    """How the application is, every time that changes. Ends after DEAD."""
    if app.startup and not await _started(app.startup, check):
        yield Verdict.DEAD
        return
    changes: asyncio.Queue[Verdict] = asyncio.Queue(maxsize=8)
    async with asyncio.TaskGroup() as tasks:
        followers = [tasks.create_task(_follow_readiness(readiness_of(app), check, changes), name="readiness")]
        if app.liveness:
            followers.append(tasks.create_task(_follow_liveness(app.liveness, check, changes), name="liveness"))
        try:
            while True:
                verdict = await changes.get()
                yield verdict
                if verdict is Verdict.DEAD:
                    return
        finally:
            for follower in followers:
                follower.cancel()


async def _started(probe: ProbeView, check: Check) -> bool:
    await asyncio.sleep(probe.initial_delay)
    streak = Streak()
    while True:
        streak = streak.observe(await check(probe), probe)
        if streak.passing is not None:
            return streak.passing
        await asyncio.sleep(probe.period)


async def _follow_readiness(probe: ProbeView | None, check: Check, changes: asyncio.Queue[Verdict]) -> None:
    if probe is None:
        await changes.put(Verdict.READY)
        return
    await asyncio.sleep(probe.initial_delay)
    streak, told, was_ready = Streak(), False, False
    while True:
        streak = streak.observe(await check(probe), probe)
        ready = streak.passing is True
        was_ready = was_ready or ready
        if ready != told:
            told = ready
            await changes.put(Verdict.READY if ready else Verdict.NOT_READY)
        await asyncio.sleep(probe.period if was_ready else min(QUICK, probe.period))


async def _follow_liveness(probe: ProbeView, check: Check, changes: asyncio.Queue[Verdict]) -> None:
    await asyncio.sleep(probe.initial_delay)
    streak = Streak()
    while streak.passing is not False:
        await asyncio.sleep(probe.period)
        streak = streak.observe(await check(probe), probe)
    await changes.put(Verdict.DEAD)
