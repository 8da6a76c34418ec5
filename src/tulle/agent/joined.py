"""Runs the workloads of processes that somebody else started and that joined the mesh (`tulle run`).

Such a workload lives as long as its process, over restarts of the agent too.
"""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from tulle.agent.health import QUICK
from tulle.agent.host import Admission, Workloads
from tulle.agent.pidfd import Process, ProcessIdentity
from tulle.agent.reach import AppAccepts
from tulle.agent.roster import Record

log = logging.getLogger(__name__)


class Joined:
    """`tasks` is the agent's task group: each workload is watched there until its process ends."""

    def __init__(self, tasks: asyncio.TaskGroup, host: Workloads, accepts: AppAccepts) -> None:
        self._tasks = tasks
        self._host = host
        self._accepts = accepts

    async def admit(self, admission: Admission, process: ProcessIdentity) -> Record:
        """Brings the workload of `process` into the mesh. Raises NotAdmitted."""
        record = replace(await self._host.admit(admission), process=process)
        self._host.roster.put(record)
        self._watch(record)
        return record

    def adopt(self, records: Iterable[Record]) -> None:
        """Goes on watching those that an earlier agent had."""
        for record in records:
            self._watch(record)

    def _watch(self, record: Record) -> None:
        self._tasks.create_task(self._follow(record), name=f"joined {record.name}")

    async def _follow(self, record: Record) -> None:
        """A process that has ended serves nobody: there is nothing to drain."""
        process = Process.open(record.process) if record.process else None
        if process is not None:
            ready = asyncio.create_task(self._become_ready(record), name=f"readiness of {record.name}")
            try:
                await process.ended()
            finally:
                ready.cancel()
                process.close()
        log.info("%s has ended", record.name)
        await self._host.discard(record.name)

    async def _become_ready(self, record: Record) -> None:
        """Ready once all of its ports accept. What it does later, its clients' proxies see."""
        for _, port in record.ports:
            while not await self._accepts(Path(record.network), port):
                await asyncio.sleep(QUICK)
        self._host.roster.set_state(record.name, "Ready")
