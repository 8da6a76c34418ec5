"""Says how an application is, from its probes, with Kubernetes' rules.

An application without a readiness probe is ready once its first declared port accepts, or at once without ports: a
request that is sent to what does not listen yet is lost.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct

from tulle.view.types import AppView, ProbeView, TcpProbeView

QUICK = 0.25
"""Seconds between readiness probes until the first success: nobody waits a whole period for a start."""

Check: TypeAlias = Callable[[ProbeView], Awaitable[bool]]


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


async def follow_health(app: AppView, check: Check, tell: Callable[[bool], None], ready: bool = False) -> None:
    """Tells every change of whether a started application is ready, from `ready` on; returns when it has to be started
    anew: it did not start in time, or is no longer alive."""
    if app.startup and not await _passes(app.startup, check):
        return
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow_readiness(readiness_of(app), check, tell, ready), name="readiness")
        if app.liveness:
            await _fails(app.liveness, check)
            following.cancel()


async def _passes(probe: ProbeView, check: Check) -> bool:
    """Which of the two thresholds a probe reaches first."""
    await asyncio.sleep(probe.initial_delay)
    streak = Streak()
    while True:
        streak = streak.observe(await check(probe), probe)
        if streak.passing is not None:
            return streak.passing
        await asyncio.sleep(probe.period)


async def _fails(probe: ProbeView, check: Check) -> None:
    """Returns when a probe has failed for good."""
    await asyncio.sleep(probe.initial_delay)
    streak = Streak()
    while (streak := streak.observe(await check(probe), probe)).passing is not False:
        await asyncio.sleep(probe.period)


async def _follow_readiness(probe: ProbeView | None, check: Check, tell: Callable[[bool], None], ready: bool) -> None:
    if probe is None:
        tell(True)
        await asyncio.sleep(math.inf)
        return
    await asyncio.sleep(probe.initial_delay)
    streak, told, was_ready = Streak(passing=ready or None), ready, ready
    while True:
        streak = streak.observe(await check(probe), probe)
        ready = streak.passing is True
        was_ready = was_ready or ready
        if ready != told:
            told = ready
            tell(ready)
        await asyncio.sleep(probe.period if was_ready else min(QUICK, probe.period))
