"""Reads what the kernel counts: CPU and memory of processes, and how busy the machine was."""

import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks per second."""

_PROC = Path("/proc")


class Memory(Struct, frozen=True):
    """Of one process, in bytes. `pss` shares pages out among those that map them, `private` is what only it has."""

    pss: int
    private: int
    resident: int


class Busy(Struct, frozen=True):
    """Of all cores since the machine started, in clock ticks."""

    working: int
    total: int

    def since(self, earlier: "Busy") -> float:
        """The share of all cores that worked, 0 to 1."""
        total = self.total - earlier.total
        return (self.working - earlier.working) / total if total else 0.0


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads that these processes have, in the kernel's own count of nanoseconds."""
    return sum(_thread_nanoseconds(path) for pid in pids for path in (_PROC / str(pid) / "task").iterdir()) / 1e9


def _thread_nanoseconds(path: Path) -> int:
    return int((path / "schedstat").read_text().split()[0])


def memory(pid: int) -> Memory:
    return read_rollup((_PROC / str(pid) / "smaps_rollup").read_text())


def memory_of_self() -> int:
    """Resident bytes of this process."""
    return int((_PROC / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_rollup(text: str) -> Memory:
    """Reads the text of a `smaps_rollup`."""
    fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
    return Memory(fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"], fields["Rss"])


def busy() -> Busy:
    return read_stat((_PROC / "stat").read_text())


def read_stat(text: str) -> Busy:
    """Reads the text of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, text.split("\n", 1)[0].split()[1:9])
    working = user + nice + system + irq + softirq + steal
    return Busy(working, working + idle + iowait)
