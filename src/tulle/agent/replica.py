"""One replica of an application: in the mesh, started, watched, restarted, and out again."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Container
from typing import Literal, Protocol

from tulle.agent.capture.process import LaunchError
from tulle.agent.health import Check, follow_health
from tulle.agent.host import Admission, Workloads
from tulle.agent.restart_policy import RestartLimits, RestartPolicy
from tulle.model.names import AppName, WorkloadName
from tulle.model.workload import LONGEST_MESSAGE
from tulle.view.types import AppView

log = logging.getLogger(__name__)

RESTARTS = RestartLimits(first_delay=0.5, longest_delay=60, healthy_after=60)
CANNOT_RUN = 126
_UNKNOWN_GRACE = 10.0


class Running(Protocol):
    """A process of an application, as AppProcess."""

    @property
    def running(self) -> bool: ...

    async def ended(self) -> int | None: ...

    async def terminate(self, grace: float) -> int | None: ...


class Processes(Protocol):
    """The processes of applications by their workloads' names, as AppProcesses."""

    async def start(self, name: WorkloadName, app: AppView) -> Running: ...

    def find(self, name: WorkloadName) -> Running | None: ...

    def forget(self, name: WorkloadName) -> None: ...

    def tidy_logs(self, present: Container[WorkloadName]) -> None: ...

    def check(self, name: WorkloadName, app: AppView) -> Check: ...


class Replica:
    """`admitted`: it is in the mesh. `ready`: it takes requests. `leaving`: it is on its way out. `finished`: its
    process has ended and its App says that it is not to be started again. `changed` is called where `ready` or
    `finished` changes.

    One that an earlier agent made is `admitted` from the beginning; what its App is, `learn` has to say.
    """

    def __init__(
        self,
        host: Workloads,
        processes: Processes,
        name: WorkloadName,
        app: AppName,
        digest: str,
        changed: Callable[["Replica"], None],
        admitted: bool = False,
        ready: bool = False,
        finished: bool = False,
    ) -> None:
        self.name = name
        self.app = app
        self.digest = digest
        self.admitted = admitted
        self.ready = ready
        self.finished = finished
        self._host = host
        self._processes = processes
        self._changed = changed
        self._view: AppView | None = None
        self._news = asyncio.Event()
        self._leave = asyncio.Event()
        self._killed = False
        self._trouble = ""

    @property
    def leaving(self) -> bool:
        return self._leave.is_set()

    def learn(self, view: AppView) -> None:
        """Takes what the App is. Everything but its number of replicas is fixed by `digest`."""
        self._view = view
        self._news.set()

    def leave(self) -> None:
        """Asks it to go: out of its services first, then the process, then the mesh."""
        self._leave.set()
        self._news.set()

    def kill(self) -> None:
        """Asks it to end its process now, with nothing of what leaving does for its clients: everything ends."""
        self._killed = True
        self.leave()

    async def admit(self) -> None:
        """Brings it into the mesh. It has to know its App. Raises NotAdmitted."""
        view = self._view
        if view is None:
            raise AssertionError("a replica is made for an App")
        await self._host.admit(
            Admission(self.name, view.service_account, view.mode, view.labels, view.ports, view.name, self.digest)
        )
        self.admitted = True

    async def run(self) -> None:
        """Its life in the mesh, until it has left. Cancelling leaves it as it is, for the next agent."""
        if not self.finished:
            await self._news.wait()
            await self._live_on()
            if not self.leaving:
                self.finished = True
                self._changed(self)  # before it goes, or the next agent might find it neither here nor finished
        await self._go()

    async def _live_on(self) -> None:
        """One life of the process after the other, until it has to leave or has finished."""
        if self._view is not None and self._ended_unseen() and not _again(self._view.restart, None):
            return
        policy = RestartPolicy(RESTARTS)
        while self._view is not None and not self.leaving:
            code, lived = await self._live(self._view)
            if self.leaving or not _again(self._view.restart, code):
                break
            policy = policy.ended(lived)
            log.warning("%s ended with %s, started again in %.1f s", self.name, code, policy.delay)
            self._host.roster.set_state(self.name, "NotReady", self._trouble)
            await self._left_within(policy.delay)

    async def _live(self, view: AppView) -> tuple[int | None, float]:
        """One life of the process. Returns its exit code (None: not known) and how long it ran."""
        began = asyncio.get_running_loop().time()
        try:
            process = self._running() or await self._started(view)
        except LaunchError as error:
            log.error("%s: %s", self.name, error)
            self._trouble = f"cannot be started: {error}"[:LONGEST_MESSAGE]
            return CANNOT_RUN, 0
        alive = await self._watch(process, view)
        self._set_ready(False)
        if self.leaving:
            return None, 0  # its clients have to hear first
        # Also where it has ended by itself: what it left behind would hold its ports.
        code = await process.terminate(view.termination_grace)
        self._trouble = _told(code) if alive else "did not pass its startup or liveness probe"
        return code, asyncio.get_running_loop().time() - began

    async def _started(self, view: AppView) -> Running:
        """A new process. One that was adopted as ready may have ended before it was watched again."""
        if self.ready:
            self._set_ready(False)
        return await self._processes.start(self.name, view)

    def _running(self) -> Running | None:
        """The process, where an earlier agent started it and it still runs."""
        found = self._processes.find(self.name)
        return found if found is not None and found.running else None

    def _ended_unseen(self) -> bool:
        """Whether the process has ended while no agent was there, or before the earlier one had noted it."""
        found = self._processes.find(self.name)
        return found is not None and not found.running

    async def _watch(self, process: Running, view: AppView) -> bool:
        """Until the process ends, is found dead by its probes, or has to leave. Returns whether its probes found
        nothing."""
        check = self._processes.check(self.name, view)
        following = follow_health(view, check, self._set_ready, self.ready)
        health = asyncio.create_task(following, name=f"health of {self.name}")
        ended = asyncio.create_task(process.ended(), name=f"end of {self.name}")
        left = asyncio.create_task(self._leave.wait(), name=f"{self.name} leaves")
        parts = {health, ended, left}
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
            if done == {health}:
                log.warning("%s does not pass its startup or liveness probe", self.name)
            return done != {health}
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)

    def _set_ready(self, ready: bool) -> None:
        if not self.leaving:
            self._host.roster.set_state(self.name, *(("Ready",) if ready else ("NotReady", self._trouble)))
        if ready != self.ready:
            self.ready = ready
            self._changed(self)

    async def _go(self) -> None:
        """A process that has ended has no requests to finish, and where everything ends nobody has to hear."""
        if self.leaving and not self._killed:
            await self._host.drain(self.name)
        process = self._processes.find(self.name)
        if process is not None:
            await process.terminate(self._view.termination_grace if self._view else _UNKNOWN_GRACE)
        self._processes.forget(self.name)
        if not self._killed:
            await self._host.discard(self.name)

    async def _left_within(self, limit: float) -> None:
        """Waits until it has to leave, at most `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leave.wait(), limit)


def _told(code: int | None) -> str:
    """How a process ended, from its exit code as Running gives it."""
    if code is None:
        return "ended; its log may say why"
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"{how}; its log may say why"


def _again(restart: Literal["Always", "OnFailure", "Never"], code: int | None) -> bool:
    match restart:
        case "Always":
            return True
        case "OnFailure":
            return code != 0
        case "Never":
            return False
