"""Says on what a run was made, because a figure means nothing without it."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from tulle.agent import envoy_binary


class Machine(Struct, frozen=True):
    date: str
    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    envoy: str
    load_before: float

    def sentence(self) -> str:
        return (
            f"{self.date}; {self.cores} cores ({self.processor}), {self.memory_gib:.0f} GiB, Linux {self.kernel}, "
            f"Python {self.python}, Envoy {self.envoy}; load average before the run {self.load_before:.2f}"
        )


def describe() -> Machine:
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        kernel=platform.release(),
        python=platform.python_version(),
        envoy=".".join(map(str, envoy_binary.find(os.environ).version)),
        load_before=os.getloadavg()[0],
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
