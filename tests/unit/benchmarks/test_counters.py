"""What the kernel's texts say."""

import os

from benchmarks import counters
from benchmarks.counters import Busy, Memory

ROLLUP = """\
55e0-7ffd ---p 00000000 00:00 0                          [rollup]
Rss:               69304 kB
Pss:               22160 kB
Pss_Dirty:         15000 kB
Shared_Clean:      53000 kB
Private_Clean:       800 kB
Private_Dirty:     15022 kB
"""

STAT = """\
cpu  100 5 50 800 20 1 4 10 0 0
cpu0 50 0 25 400 10 0 2 5 0 0
"""


def test_memory_is_read_in_bytes() -> None:
    assert counters.read_rollup(ROLLUP) == Memory(22160 * 1024, 15822 * 1024, 69304 * 1024)


def test_stolen_time_counts_as_busy_and_waiting_for_disks_does_not() -> None:
    assert counters.read_stat(STAT) == Busy(working=170, total=990)


def test_the_share_is_of_what_passed() -> None:
    assert Busy(150, 400).since(Busy(100, 200)) == 0.25
    assert Busy(100, 200).since(Busy(100, 200)) == 0


def test_this_process_can_be_read() -> None:
    """The kernel brings its count up to date when it pleases, so it may stand still between two looks."""
    before = counters.cpu_seconds([os.getpid()])
    assert counters.cpu_seconds([os.getpid()]) >= before > 0
    assert counters.memory(os.getpid()).private <= counters.memory(os.getpid()).resident
