"""Starts the processes of Apps in their workloads' namespaces, and finds those that an earlier agent started."""

import os
import tempfile
from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from tulle.agent.app_logs import AppLogs
from tulle.agent.app_user import named_user, user_environment
from tulle.agent.capture.launch import Launch, RunAs
from tulle.agent.capture.namespace import dial_application
from tulle.agent.capture.process import Launched, LaunchError, read_record, resolv_conf, start, terminate
from tulle.agent.capture.rules import RESOLVER
from tulle.agent.health import Check
from tulle.agent.pidfd import Process, runs
from tulle.agent.probes import Prober
from tulle.model.names import WorkloadName
from tulle.view.types import AppView

_LEFT_GRACE = 2.0


class ProcessSettings(Struct, frozen=True):
    """`hidden` are directories that no application may see, `environment` what every one gets (its own `env` wins),
    `default_user` says as whom one runs that does not say so itself: by its working directory, its program and where
    that is searched for."""

    run_dir: Path
    log_dir: Path
    hidden: tuple[Path, ...]
    environment: Mapping[str, str]
    default_user: Callable[[Path, str, str], RunAs | None] = lambda *_: None


class AppProcess:
    """One process that was started, with all that it started. It runs or has ended."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._code: int | None = None

    @property
    def running(self) -> bool:
        return runs(self._launched.process)

    async def ended(self) -> int | None:
        """Waits for the end of the process. Returns its exit code, negative for a signal; None: not known."""
        process = Process.open(self._launched.process)
        if process is not None:
            try:
                self._learn(await process.ended())
            finally:
                process.close()
        return self._code

    async def terminate(self, grace: float) -> int | None:
        """Ends it and whatever it left behind, which may have outlived it. Returns its exit code, as `ended`."""
        self._learn(await terminate(self._launched, grace))
        return self._code

    def _learn(self, code: int | None) -> None:
        """The kernel tells the exit code once, to whoever asks first."""
        if code is not None:
            self._code = code


class AppProcesses:
    """The processes of all Apps of this node, each written down under its workload's name. `network` is where the
    namespace of a workload is, `search_domain` gives the mesh's present first domain."""

    def __init__(
        self, settings: ProcessSettings, network: Callable[[WorkloadName], Path], search_domain: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._network = network
        self._search_domain = search_domain
        self._directory = settings.run_dir / "apps"
        self._logs = AppLogs(settings.log_dir)

    async def start(self, name: WorkloadName, app: AppView) -> AppProcess:
        """Returns once it has been executed. Raises LaunchError."""
        record = self._record(name)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return AppProcess(await start(self._launch(name, app, app.command, record), self._logs.path(name)))
        except OSError as error:
            raise LaunchError(f"{app.command[0]} cannot be started: {error}") from error

    def find(self, name: WorkloadName) -> AppProcess | None:
        """What was started last for a workload, by whichever agent."""
        launched = read_record(self._record(name))
        return AppProcess(launched) if launched else None

    def forget(self, name: WorkloadName) -> None:
        self._record(name).unlink(missing_ok=True)

    def tidy_logs(self, present: Container[WorkloadName]) -> None:
        """Of those that are not `present` only the last few logs stay."""
        self._logs.tidy(present)

    async def end_others(self, kept: Container[WorkloadName]) -> None:
        """Ends what an earlier agent left, but for the processes of the workloads to keep."""
        for path in self._directory.glob("*.json"):
            name = WorkloadName(*path.stem.split("~", 1))
            if name in kept:
                continue
            if (process := self.find(name)) is not None:
                await process.terminate(_LEFT_GRACE)
            self.forget(name)

    def check(self, name: WorkloadName, app: AppView) -> Check:
        """Carries out probes of an application."""
        return Prober(partial(dial_application, self._network(name)), partial(self._succeeds, name, app)).check

    async def _succeeds(self, name: WorkloadName, app: AppView, command: tuple[str, ...]) -> bool:
        """Whether a command that is run beside an application does. It ends with the wait for it."""
        with tempfile.TemporaryDirectory(prefix="tulle-probe-") as directory:
            launch = self._launch(name, app, command, Path(directory) / "record.json")
            process = AppProcess(await start(launch, Path(directory) / "log"))
            try:
                return await process.ended() == 0
            finally:
                await process.terminate(grace=0)

    def _record(self, name: WorkloadName) -> Path:
        return self._directory / f"{name.namespace}~{name.name}.json"

    def _launch(self, name: WorkloadName, app: AppView, command: tuple[str, ...], record: Path) -> Launch:
        settings = self._settings
        directory = app.working_dir or "/"
        user = named_user(app.run_as) if app.run_as else self._default_user(app, Path(directory))
        return Launch(
            network=str(self._network(name)),
            run_dir=str(settings.run_dir),
            hidden=tuple(map(str, settings.hidden)),
            shown=(),
            resolv_conf=resolv_conf(app.namespace, RESOLVER, self._search_domain()),
            run_as=user,
            directory=directory,
            command=command,
            environment={**settings.environment, **user_environment(user), **app.env},
            record=str(record),
        )

    def _default_user(self, app: AppView, directory: Path) -> RunAs | None:
        search_path = {**self._settings.environment, **app.env}.get("PATH", os.defpath)
        return self._settings.default_user(directory, app.command[0], search_path)
