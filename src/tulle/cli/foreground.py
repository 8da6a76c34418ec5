"""Runs what stays in the foreground: until a signal asks it to stop, with its log on stderr."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

from tulle.agent.capture import rootless
from tulle.agent.capture.holder import holder
from tulle.agent.pidfd import ProcessIdentity
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.api.paths import RunPaths, run_paths
from tulle.cli.errors import Failure, machine_said
from tulle.cli.output import warn

LONGEST_SOCKET = 107
"""Bytes of the path of a unix socket (unix(7))."""
BELOW_RUN_DIR = 52
"""Bytes of the longest path below the run directory that is a socket's: `/proxies/<name of 32>/admin/sock`."""

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def keep_private() -> None:
    """What this process writes is for its user only, whatever the shell's umask."""
    os.umask(0o077)


def log_to(stream_or_file: Path | None) -> None:
    """Sends the log to a file, or to stderr."""
    handler = logging.FileHandler(stream_or_file) if stream_or_file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("uvicorn", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run_until_signalled(main: Callable[[asyncio.Event], Coroutine[None, None, int]]) -> int:
    """Runs `main` with an event that SIGINT, SIGTERM and the end of the terminal (SIGHUP, unless it is ignored: nohup)
    set; returns its exit code. A second signal ends it at once, and what it leaves the next start cleans. Of errors
    that came together the first is raised."""

    async def run() -> int:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        for number in numbers - ({signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()):
            loop.add_signal_handler(number, _stop, stopping, loop, number)
        return await main(stopping)

    try:
        return asyncio.run(run())
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    """The error at the bottom: task groups wrap what their tasks raise."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def until(stopping: asyncio.Event, serving: Coroutine[None, None, None]) -> None:
    """Runs `serving` until `stopping` is set, or until it fails: then its error is raised."""
    task = asyncio.create_task(serving, name="serving")
    stopped = asyncio.create_task(stopping.wait(), name="stopping")
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        stopped.cancel()
        task.cancel()
        await asyncio.wait({task})


def _stop(stopping: asyncio.Event, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    stopping.set()
    loop.remove_signal_handler(number)


def own_paths(below: int = BELOW_RUN_DIR) -> RunPaths:
    """Where this process is to keep things. `below`: the bytes of the longest path that it needs for a socket, below
    the run directory. Raises Failure where it could not."""
    paths = run_paths(os.environ, os.geteuid())
    for name, directory in (("TULLE_RUN_DIR", paths.run_dir), ("TULLE_STATE_DIR", paths.state_dir)):
        if not directory.is_absolute():
            raise Failure(f"{name}={directory} is no absolute path", f"write {name}={directory.absolute()}")
    longest = LONGEST_SOCKET - below
    if len(os.fsencode(paths.run_dir)) > longest:
        message = (
            f"the run directory {paths.run_dir} has a path of more than {longest} bytes: its sockets would not work"
        )
        raise Failure(message, "name a shorter one with TULLE_RUN_DIR")
    return paths


def capture_paths() -> tuple[RunPaths, bool]:
    """Makes this process able to capture traffic; returns where things are, and whether it is rootless.

    An ordinary user's process is executed again inside a user namespace, where it looks like root: the paths are
    fixed before. Raises Failure where the host does not allow it.
    """
    paths = own_paths()
    if os.geteuid() != 0:
        problem = rootless.detect()
        if problem is not None:
            raise Failure(problem.message, problem.hint)
        os.environ["TULLE_RUN_DIR"], os.environ["TULLE_STATE_DIR"] = str(paths.run_dir), str(paths.state_dir)
        try:
            left = _left_running(paths.run_dir)
        except OSError as error:
            raise Failure(machine_said(error), "name another run directory with TULLE_RUN_DIR") from error
        rootless.enter(left)
    return paths, rootless.is_inside()


def _left_running(run_dir: Path) -> list[ProcessIdentity]:
    """The processes that an earlier agent left in the namespaces that a new one has to be in. (Applications are in
    mount namespaces of their own.)"""
    proxies = (ProxyDirectory(path.parent).read_state() for path in run_dir.glob("proxies/*/process.json"))
    held = holder(run_dir)
    return [*([held] if held else []), *(proxy.process for proxy in proxies if proxy)]


def application_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """What applications get of the agent's environment: where programs are, whose home it is, the language. The
    interpreter that runs Tulle comes first, so that `python` means the same one everywhere."""
    path = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    kept = {name: environment[name] for name in ("HOME", "USER", "LANG", "LC_ALL", "TZ") if name in environment}
    return {**kept, "PATH": path}


def invoking_user(environment: Mapping[str, str]) -> int:
    """Who became root to run this command, by sudo; 0 where nobody did."""
    named = environment.get("SUDO_UID", "")
    return int(named) if named.isdecimal() else 0


def say_mode(rootless_mode: bool) -> None:
    if rootless_mode:
        warn("running without root: workloads live in a user namespace of yours")
