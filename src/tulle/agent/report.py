"""Tells the control plane which workloads run here, again after every change and until it has heard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

from tulle.agent.roster import Roster
from tulle.identity.errors import Denied, Unavailable
from tulle.identity.messages import ReportReply, ReportRequest
from tulle.identity.rotation import backoff
from tulle.model.names import ObjectRef, WorkloadName
from tulle.model.problem import Problem
from tulle.model.workload import Workload

log = logging.getLogger(__name__)

Send: TypeAlias = Callable[[ReportRequest], Awaitable[ReportReply]]

_LONGEST_WAIT = timedelta(seconds=5)


class Reporter:
    """`send` is `NodeClient.report`, `heard` is called after every report that was taken, `jitter` gives
    numbers from -1 to 1."""

    def __init__(
        self, node: str, roster: Roster, send: Send, heard: Callable[[], None], jitter: Callable[[], float]
    ) -> None:
        self._node = node
        self._roster = roster
        self._send = send
        self._heard = heard
        self._jitter = jitter
        self._taken = asyncio.Condition()
        self._taken_version = -1
        self._refusals: dict[str, Problem] = {}

    @property
    def up_to_date(self) -> bool:
        """Whether the control plane has heard of all that the roster holds."""
        return self._taken_version >= self._roster.version

    def refusal(self, name: WorkloadName) -> Problem | None:
        """Why the control plane does not take a workload, as far as it has heard of it."""
        return self._refusals.get(str(_ref(name)))

    async def run(self) -> None:
        """Reports for ever."""
        failures = 0
        while True:
            version = self._roster.version
            try:
                await self._report()
            except (Unavailable, Denied) as error:
                failures += 1
                wait = min(backoff(failures, self._jitter()), _LONGEST_WAIT)
                log.warning("workloads not reported, again in %.1f s: %s", wait.total_seconds(), error)
                await asyncio.sleep(wait.total_seconds())
                continue
            failures = 0
            self._heard()
            async with self._taken:
                self._taken_version = version
                self._taken.notify_all()
            await self._roster.changed(version)

    async def reported(self, limit: float) -> bool:
        """Waits, at most `limit` seconds, until the control plane knows what the roster holds now."""
        version = self._roster.version
        try:
            async with asyncio.timeout(limit), self._taken:
                await self._taken.wait_for(lambda: self._taken_version >= version)
        except TimeoutError:
            return False
        return True

    async def _report(self) -> None:
        workloads = tuple(r.workload(self._node) for r in self._roster.records())
        reply = await self._send(ReportRequest(self._node, workloads))
        for problem in reply.problems:
            log.error("the control plane refuses a workload: %s", problem)
        self._refusals = {problem.resource: problem for problem in reply.problems}


def _ref(name: WorkloadName) -> ObjectRef:
    return ObjectRef(Workload.API_VERSION, "Workload", name.namespace, name.name)
