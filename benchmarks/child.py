"""Runs the processes of a benchmark and ends them, whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
GRACE = 20.0


class Failed(Exception):
    """A measurement could not be made; the message says what to look at."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    talks: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """A process, asked to end afterwards and killed if it does not. Its messages go to `log`; with `talks` its stdin
    and stdout are pipes, else its output goes to the log too."""
    with log.open("ab") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else messages,
            stderr=messages,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What was not sent to a process that has ended is of no use any more.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def until(condition: Callable[[], bool], what: str, limit: float = 60.0, every: float = 0.05) -> None:
    """Waits; raises Failed after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not within {limit:g} s: {what}")
        time.sleep(every)
