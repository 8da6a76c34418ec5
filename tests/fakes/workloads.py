"""A host that admits at once, and writes down who came and went."""

import asyncio
from pathlib import Path

from msgspec.structs import replace
from tests.fakes.records import WEB_1

from tulle.agent.host import Admission, NotAdmitted
from tulle.agent.roster import Record, Roster
from tulle.model.names import WorkloadName


class FakeWorkloads:
    """`admission` is how long one takes; `refusals` counts those that fail first."""

    def __init__(self, directory: Path) -> None:
        self.roster = Roster(directory / "workloads.json")
        self.steps: list[str] = []
        self.asked: list[tuple[float, WorkloadName]] = []
        self.admission = 0.0
        self.refusals = 0

    async def admit(self, admission: Admission) -> Record:
        self.asked.append((asyncio.get_running_loop().time(), admission.name))
        await asyncio.sleep(self.admission)
        if self.refusals:
            self.refusals -= 1
            raise NotAdmitted(f"{admission.name} is refused")
        record = replace(
            WEB_1, name=admission.name, app=admission.app, digest=admission.digest, ports=admission.ports, process=None
        )
        self.roster.put(record)
        self.steps.append("admitted")
        return record

    async def drain(self, name: WorkloadName) -> None:
        self.roster.set_state(name, "Draining")
        self.steps.append("drained")

    async def discard(self, name: WorkloadName) -> None:
        self.roster.remove(name)
        self.steps.append("discarded")
