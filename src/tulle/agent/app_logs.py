"""Keeps what applications print: a log for each replica, and those of the last few replicas that have gone.

Each change of an App makes replicas with new names, and so logs: without an end they would fill the disk.
"""

import logging
from collections import Counter
from collections.abc import Container
from pathlib import Path

from msgspec import Struct

from tulle.model.names import WorkloadName

log = logging.getLogger(__name__)

_SUFFIX = ".log"


class LogLimits(Struct, frozen=True):
    """How many logs of replicas that have gone are kept: of each App, and of all."""

    of_an_app: int = 5
    of_all: int = 200


class AppLogs:
    """The logs in a directory. `path` is that of a replica's."""

    def __init__(self, directory: Path, limits: LogLimits = LogLimits()) -> None:  # noqa: B008 (frozen)
        self._directory = directory
        self._limits = limits

    def path(self, name: WorkloadName) -> Path:
        return self._directory / f"{name.namespace}~{name.name}{_SUFFIX}"

    def tidy(self, present: Container[WorkloadName]) -> None:
        """Removes the logs that nobody of `present` writes, but for those that were written last."""
        try:
            for path in self._outdated(present):
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("old logs of applications are not removed: %s", error)

    def _outdated(self, present: Container[WorkloadName]) -> list[Path]:
        logs = ((path.name.removesuffix(_SUFFIX), path) for path in self._directory.glob(f"*~*{_SUFFIX}"))
        gone = [(replica, path) for replica, path in logs if WorkloadName(*replica.split("~", 1)) not in present]
        gone.sort(key=lambda each: each[1].stat().st_mtime_ns, reverse=True)
        seen: Counter[str] = Counter()
        outdated = []
        for replica, path in gone:
            app = replica.rpartition("-")[0]
            seen[app] += 1
            if seen[app] > self._limits.of_an_app or seen.total() > self._limits.of_all:
                outdated.append(path)
        return outdated
