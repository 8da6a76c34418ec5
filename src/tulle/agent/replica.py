"""One replica of an application: in the mesh, started, watched, restarted, and out again."""

import asyncio
import contextlib
import logging
import os
import pwd
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct

from tulle.agent.capture.launch import Launch, RunAs
from tulle.agent.capture.process import Launched, LaunchError, read_record, resolv_conf, start, terminate
from tulle.agent.capture.rules import RESOLVER
from tulle.agent.health import follow_health
from tulle.agent.host import Admission, Host, NotAdmitted
from tulle.agent.pidfd import Process
from tulle.agent.probes import Prober
from tulle.agent.restart_policy import RestartLimits, RestartPolicy
from tulle.agent.roster import Record
from tulle.model.names import WorkloadName
from tulle.view.types import AppView

log = logging.getLogger(__name__)

RESTARTS = RestartLimits(first_delay=0.5, longest_delay=60, healthy_after=60)
ADMISSION_PAUSE = 2.0


class ReplicaSettings(Struct, frozen=True):
    """`hidden` are directories that no application may see, `environment` what every one gets (its own `env` wins)."""

    run_dir: Path
    log_dir: Path
    hidden: tuple[Path, ...]
    environment: Mapping[str, str]

    def record(self, name: WorkloadName) -> Path:
        """Where the process of a replica is written down."""
        return self.run_dir / "apps" / f"{name.namespace}~{name.name}.json"

    def log(self, name: WorkloadName) -> Path:
        return self.log_dir / f"{name.namespace}~{name.name}.log"


async def end_leftovers(run_dir: Path, kept: Container[WorkloadName]) -> None:
    """Ends the applications that an earlier agent left, but for those of the workloads to keep."""
    for path in (run_dir / "apps").glob("*.json"):
        namespace, _, name = path.stem.partition("~")
        launched = read_record(path)
        if WorkloadName(namespace, name) not in kept:
            if launched is not None:
                await terminate(launched, grace=2)
            path.unlink()


class Replica:
    """`ready` says whether it takes requests, `leaving` that it is on its way out."""

    def __init__(
        self, host: Host, settings: ReplicaSettings, name: WorkloadName, app: AppView | None, digest: str
    ) -> None:
        self.name = name
        self.app = app
        self.digest = digest
        self.ready = False
        self._host = host
        self._settings = settings
        self._record: Record | None = None
        self._launched: Launched | None = None
        self._leave = asyncio.Event()
        self._killed = False
        self._app_name = (app.namespace, app.name) if app else ("", "")

    @classmethod
    def adopted(cls, host: Host, settings: ReplicaSettings, record: Record) -> Self:
        """A replica that an earlier agent made; what its App is, the control plane (or the cache) says."""
        replica = cls(host, settings, record.name, None, record.digest)
        replica._record = record
        replica._app_name = (record.name.namespace, record.app)
        return replica

    @property
    def app_name(self) -> tuple[str, str]:
        return self._app_name

    @property
    def leaving(self) -> bool:
        return self._leave.is_set()

    def leave(self) -> None:
        """Asks it to go: out of its services first, then the process, then the mesh."""
        self._leave.set()

    async def kill(self) -> None:
        """Ends the application now, with nothing of what leaving does for its clients."""
        self._killed = True
        self.leave()
        if self._launched is not None:
            await terminate(self._launched, self._grace)

    async def run(self, on_change: Callable[[], None]) -> None:
        """The whole life of a replica. Cancelling leaves it as it is, for the next agent."""
        try:
            self._record = self._record or await self._admit()
        except (NotAdmitted, OSError) as error:
            log.error("%s", error)
            await self._left_within(ADMISSION_PAUSE)
            return
        policy = RestartPolicy(RESTARTS)
        while not self.leaving:
            code, healthy_for = await self._run_once(on_change)
            if self.leaving or not self._again(code):
                break
            policy = policy.ended(healthy_for)
            log.warning("%s ended with %s, started again in %.1f s", self.name, code, policy.delay)
            await self._left_within(policy.delay)
        if not self._killed:
            await self._go()

    async def _admit(self) -> Record:
        app = self._app
        return await self._host.admit(
            Admission(self.name, app.service_account, app.mode, app.labels, app.ports, app.name, self.digest)
        )

    @property
    def _app(self) -> AppView:
        if self.app is None:
            raise AssertionError("asked for before the App is known")
        return self.app

    @property
    def _grace(self) -> float:
        return self.app.termination_grace if self.app else 10

    async def _run_once(self, on_change: Callable[[], None]) -> tuple[int | None, float]:
        """One life of the process. Returns its exit code (None: not known) and how long it ran."""
        while self.app is None and not self.leaving:  # adopted, and the App is not known yet
            await self._left_within(0.2)
        if self.leaving:
            return None, 0
        began = asyncio.get_running_loop().time()
        try:
            self._launched = self._running() or await start(self._launch(), self._settings.log(self.name))
        except LaunchError as error:
            log.error("%s: %s", self.name, error)
            return 126, 0
        code = await self._watch(self._launched, on_change)
        self._set_ready(False, on_change)
        return code, asyncio.get_running_loop().time() - began

    def _running(self) -> Launched | None:
        """The process, where an earlier agent started it and it still runs."""
        found = read_record(self._settings.record(self.name))
        process = Process.open(found.process) if found else None
        if process is None:
            return None
        process.close()
        return found

    async def _watch(self, launched: Launched, on_change: Callable[[], None]) -> int | None:
        """Until the process ends, is found dead by its probes, or has to leave."""
        process = Process.open(launched.process)
        if process is None:
            return None
        ended = asyncio.create_task(process.ended(), name=f"end of {self.name}")
        left = asyncio.create_task(self._leave.wait(), name=f"{self.name} leaves")
        health = asyncio.create_task(self._follow_health(launched, on_change), name=f"health of {self.name}")
        try:
            await asyncio.wait({ended, left, health}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            if health.done():
                health.result()
                log.warning("%s is dead, its probes say", self.name)
                return await terminate(launched, self._grace)
            return None
        finally:
            for task in (ended, left, health):
                task.cancel()
            process.close()

    async def _follow_health(self, launched: Launched, on_change: Callable[[], None]) -> None:
        """Returns when the probes say that the application is dead."""
        prober = Prober(Path(launched.network), self._launch())
        await follow_health(self._app, prober.check, lambda ready: self._set_ready(ready, on_change))

    def _set_ready(self, ready: bool, on_change: Callable[[], None]) -> None:
        if not self.leaving:
            self._host.roster.set_state(self.name, "Ready" if ready else "NotReady")
        if ready != self.ready:
            self.ready = ready
            on_change()

    def _again(self, code: int | None) -> bool:
        match self._app.restart:
            case "Always":
                return True
            case "OnFailure":
                return code != 0
        return False

    async def _go(self) -> None:
        await self._host.drain(self.name)
        if self._launched is not None:
            await terminate(self._launched, self._grace)
        self._settings.record(self.name).unlink(missing_ok=True)
        await self._host.discard(self.name)

    def _launch(self) -> Launch:
        app, settings = self._app, self._settings
        record = settings.record(self.name)
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Launch(
            network=str(self._host.network(self.name)),
            run_dir=str(settings.run_dir),
            hidden=tuple(map(str, settings.hidden)),
            shown=(),
            resolv_conf=resolv_conf(app.namespace, RESOLVER),
            run_as=user_named(app.run_as) if app.run_as else None,
            directory=app.working_dir or "/",
            command=app.command,
            environment={**settings.environment, **app.env},
            record=str(record),
        )

    async def _left_within(self, limit: float) -> None:
        """Waits until it has to leave, at most `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leave.wait(), limit)


def user_named(name: str) -> RunAs:
    """A user of this host. Raises LaunchError where there is none of that name."""
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise LaunchError(f"there is no user {name} on this host (runAs)") from error
    return RunAs(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(name, user.pw_gid)))
