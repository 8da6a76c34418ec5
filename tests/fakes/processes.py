"""Processes of applications that end when a test says so."""

import asyncio
from collections.abc import Callable, Container

from tulle.agent.capture.process import LaunchError
from tulle.agent.health import Check
from tulle.model.names import WorkloadName
from tulle.view.types import AppView, ProbeView


class FakeProcess:
    """`ends` ends it by itself. `grace` is what it was given by who ended it."""

    def __init__(self) -> None:
        self.grace: float | None = None
        self._code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._code.done()

    def ends(self, code: int | None) -> None:
        self._code.set_result(code)

    async def ended(self) -> int | None:
        return await asyncio.shield(self._code)

    async def terminate(self, grace: float) -> int | None:
        if self.running:
            self.grace = grace
            self._code.set_result(-15)
        return self._code.result()


class FakeProcesses:
    """`answers` says how each probe of a workload goes; `cannot_start` makes starts fail. `logs` are
    those that were not tidied away."""

    def __init__(self) -> None:
        self.started: dict[WorkloadName, list[tuple[float, FakeProcess]]] = {}
        self.last: dict[WorkloadName, FakeProcess] = {}
        self.answers: Callable[[WorkloadName, ProbeView], bool] = lambda name, probe: True
        self.cannot_start = False
        self.logs: set[WorkloadName] = set()

    async def start(self, name: WorkloadName, app: AppView) -> FakeProcess:
        now = asyncio.get_running_loop().time()
        if self.cannot_start:
            raise LaunchError("there is no such program")
        self.last[name] = FakeProcess()
        self.logs.add(name)
        self.started.setdefault(name, []).append((now, self.last[name]))
        return self.last[name]

    def find(self, name: WorkloadName) -> FakeProcess | None:
        return self.last.get(name)

    def forget(self, name: WorkloadName) -> None:
        self.last.pop(name, None)

    def tidy_logs(self, present: Container[WorkloadName]) -> None:
        self.logs = {name for name in self.logs if name in present}

    def check(self, name: WorkloadName, app: AppView) -> Check:
        async def check(probe: ProbeView) -> bool:
            return self.answers(name, probe)

        return check

    def times(self, name: WorkloadName) -> list[float]:
        """When processes of a workload were started."""
        return [time for time, _ in self.started.get(name, [])]
