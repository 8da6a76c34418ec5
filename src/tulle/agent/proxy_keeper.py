"""Keeps the Envoy of one proxy running while it is wanted, then drains and ends it."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from tulle.agent.envoy_admin import EnvoyAdmin
from tulle.agent.envoy_command import EnvoyCommand
from tulle.agent.errors import AdminError
from tulle.agent.launch_envoy import LOCKED
from tulle.agent.pidfd import Process
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.restart_policy import HangLimits, Responsiveness, RestartLimits, RestartPolicy
from tulle.identity.errors import UnsafeFile
from tulle.model.names import ProxyId

_log = logging.getLogger(__name__)

Phase: TypeAlias = Literal["starting", "initializing", "live", "silent", "backing-off", "draining", "stopped"]


class SuperviseLimits(Struct, frozen=True):
    """Seconds, unless said otherwise. `drain`: how long connections may take to end by themselves; `terminate`: how
    long Envoy may take to leave after SIGTERM. A log is turned over beyond `log_bytes`, one old one is kept."""

    restart: RestartLimits = RestartLimits()
    hang: HangLimits = HangLimits()
    probe_every: float = 5
    probe_every_until_live: float = 0.1
    probe_timeout: float = 2
    drain: float = 10
    terminate: float = 5
    log_bytes: int = 10_000_000


class ProxyStatus(Struct, frozen=True):
    """How a proxy is doing. `restarts` counts over restarts of the agent; `last_end` says how the last run ended."""

    proxy: ProxyId
    phase: Phase = "starting"
    pid: int | None = None
    adopted: bool = False
    restarts: int = 0
    last_end: str = ""


class ProxyKeeper:
    """Runs until the proxy is no longer wanted and has ended; adopts what it finds running first. `live` is called
    where the proxy has become live: after each start, and where it answers again."""

    def __init__(
        self,
        proxy: ProxyId,
        directory: ProxyDirectory,
        command: EnvoyCommand,
        limits: SuperviseLimits,
        clock: Callable[[], float],
        live: Callable[[], None],
    ) -> None:
        self.proxy = proxy
        self.status = ProxyStatus(proxy)
        self.task: asyncio.Task[None] | None = None
        self._directory = directory
        self._command = command
        self._limits = limits
        self._clock = clock
        self._live = live
        self._admin = EnvoyAdmin(directory.admin, limits.probe_timeout)
        self._policy = RestartPolicy(limits.restart)
        self._wanted = True
        self._unwanted = asyncio.Event()

    def set_wanted(self, wanted: bool) -> None:
        self._wanted = wanted
        if wanted:
            self._unwanted.clear()
        else:
            self._unwanted.set()

    async def run(self) -> None:
        while True:
            process = self._adopt() or (self._start() if self._wanted else None)
            if process is None and not self._wanted:
                break
            healthy_for = 0.0
            if process is not None:
                try:
                    healthy_for = await self._run_once(process)
                finally:
                    process.close()
            if self._wanted:
                self._policy = self._policy.ended(healthy_for)
                self._show("backing-off", None)
                await _within(self._unwanted.wait(), self._policy.delay)
        self._directory.remove()
        self._show("stopped", None)

    def _adopt(self) -> Process | None:
        state = self._directory.read_state()
        process = Process.open(state.process) if state else None
        if state is None or process is None:
            return None
        if not process.running:
            process.close()
            return None
        self._policy = msgspec.structs.replace(self._policy, restarts=max(state.restarts, self._policy.restarts))
        self.status = msgspec.structs.replace(self.status, adopted=True)
        self._show("starting", process)
        return process

    def _start(self) -> Process | None:
        try:
            identity = self._command.start(self.proxy, self._directory, self._policy.restarts)
        except (OSError, UnsafeFile) as error:
            self._note_end(f"could not be started: {error}")
            return None
        process = Process.open(identity) if identity else None
        if process is None:
            self._note_end("ended at once")
            return None
        self.status = msgspec.structs.replace(self.status, adopted=False)
        self._show("starting", process)
        return process

    async def _run_once(self, process: Process) -> float:
        """From start or adoption to the end of the process. Returns how long it had been healthy then."""
        ended = asyncio.create_task(process.ended(), name=f"end of {self.proxy}")
        seen = Responsiveness(self._clock(), self._limits.hang)
        try:
            while not ended.done():
                if not self._wanted:
                    await self._stop(process, ended)
                    break
                seen = await self._probe(seen, process)
                if seen.hung(self._clock()):
                    self._note_end(f"did not answer {seen.failures} times in a row and was killed")
                    process.send(signal.SIGKILL)
                    await ended
                    return 0
                every = self._limits.probe_every if self.status.phase == "live" else self._pause_until_live(seen)
                await self._either(ended, every)
            self._note_end(_said(await ended))
            return seen.healthy_for(self._clock())
        finally:
            ended.cancel()

    def _pause_until_live(self, seen: Responsiveness) -> float:
        """Probes often at first, so that a proxy is known to be live as soon as it is, then as often as ever."""
        young = self._clock() - seen.started < self._limits.probe_every
        return self._limits.probe_every_until_live if young else self._limits.probe_every

    async def _probe(self, seen: Responsiveness, process: Process) -> Responsiveness:
        self._directory.turn_log_over(self._limits.log_bytes)
        try:
            info = await self._admin.server_info()
        except AdminError as error:
            seen = seen.failed()
            if seen.failures >= self._limits.hang.failures and self.status.phase not in ("starting", "silent"):
                _log.warning("proxy %s does not answer: %s", self.proxy, error)
                self._show("silent", process)
            return seen
        if info.node.id != str(self.proxy):
            return seen.failed()
        before = self.status.phase
        self._show("live" if info.state == "LIVE" else "initializing", process)
        if self.status.phase == "live" and before != "live":
            self._live()
        return seen.answered(self._clock())

    async def _either(self, ended: asyncio.Task[int | None], limit: float) -> None:
        """Waits for the end of the process, or for not being wanted, at most `limit` seconds."""
        unwanted = asyncio.create_task(self._unwanted.wait(), name=f"{self.proxy} unwanted")
        try:
            await asyncio.wait({ended, unwanted}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unwanted.cancel()

    async def _stop(self, process: Process, ended: asyncio.Task[int | None]) -> None:
        """Drain, then SIGTERM, then SIGKILL."""
        self._show("draining", process)
        try:
            await self._admin.drain()
            await _within(self._drained(ended), self._limits.drain)
        except AdminError as error:
            _log.warning("proxy %s is ended without draining: %s", self.proxy, error)
        for number in (signal.SIGTERM, signal.SIGKILL):
            process.send(number)
            await asyncio.wait({ended}, timeout=self._limits.terminate)
            if ended.done():
                return

    async def _drained(self, ended: asyncio.Task[int | None]) -> None:
        while not ended.done() and await self._admin.open_connections() != 0:
            await asyncio.wait({ended}, timeout=self._limits.probe_every_until_live)

    def _show(self, phase: Phase, process: Process | None) -> None:
        self.status = msgspec.structs.replace(
            self.status,
            phase=phase,
            pid=process.identity.pid if process else None,
            restarts=self._policy.restarts,
        )

    def _note_end(self, how: str) -> None:
        self.status = msgspec.structs.replace(self.status, last_end=how)
        _log.log(logging.WARNING if self._wanted else logging.INFO, "proxy %s %s", self.proxy, how)


def _said(status: int | None) -> str:
    """How a process ended, from its exit code (negative: the signal that ended it; None: not known)."""
    if status is None:
        return "ended"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return "found another proxy in its place" if status == LOCKED else f"ended with status {status}"


async def _within(awaited: Awaitable[object], limit: float) -> None:
    """Waits for `awaited`, at most `limit` seconds."""
    try:
        await asyncio.wait_for(awaited, limit)
    except TimeoutError:
        return
