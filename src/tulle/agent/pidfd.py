"""Holds on to one process, so that a signal can never reach another one that got its number.

A process of a former agent is nobody's child: it can be watched and ended only through a pidfd, and told from a
later process with the same number only by the time at which it started.
"""

import asyncio
import os
import select
import signal
from pathlib import Path
from typing import Self

from msgspec import Struct


class ProcessIdentity(Struct, frozen=True):
    """A process, for as long as the machine runs. `start_time` is in clock ticks since the boot named by `boot`."""

    pid: int
    start_time: int
    boot: str


def boot_id() -> str:
    """Names the running boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of the running process `pid`; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may hold anything; field 22 is the start time (proc(5)).
    fields = stat[stat.rindex(")") + 2 :].split()
    return ProcessIdentity(pid, int(fields[19]), boot_id())


class Process:
    """A process held by a pidfd. Close it when done; closing does not end the process."""

    def __init__(self, identity: ProcessIdentity, fd: int) -> None:
        self.identity = identity
        self._fd = fd

    @classmethod
    def open(cls, identity: ProcessIdentity) -> Self | None:
        """Holds the process `identity`; None where it has ended, even if its number has been given away again."""
        try:
            fd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        # Looked up after the pidfd is open: from here on the number cannot change hands unnoticed.
        if identity_of(identity.pid) != identity:
            os.close(fd)
            return None
        return cls(identity, fd)

    @property
    def running(self) -> bool:
        """False for one that has ended, even if its parent has not asked how: not every container has an init."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return not poll.poll(0)

    async def ended(self) -> int | None:
        """Waits until the process has ended. Returns its wait status as os.waitstatus_to_exitcode gives it, or None
        where the process is not a child of this one."""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()

        def set_readable() -> None:
            if not readable.done():
                readable.set_result(None)

        # A descriptor of its own: two waits at once may not take each other's reader away.
        watched = os.dup(self._fd)
        loop.add_reader(watched, set_readable)
        try:
            await readable
        finally:
            loop.remove_reader(watched)
            os.close(watched)
        return self._reap()

    def _reap(self) -> int | None:
        try:
            pid, status = os.waitpid(self.identity.pid, os.WNOHANG)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status) if pid else None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens where the process has ended."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return

    def close(self) -> None:
        os.close(self._fd)


def runs(identity: ProcessIdentity) -> bool:
    """Whether a process is there and has not ended."""
    process = Process.open(identity)
    if process is None:
        return False
    try:
        return process.running
    finally:
        process.close()
