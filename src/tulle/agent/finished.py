"""Remembers which replicas have finished, so that the next agent does not run them again.

On disk, where their host's next start finds it: what was to run once has run.
"""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from tulle.identity.private_file import write_private
from tulle.model.names import AppName, WorkloadName

log = logging.getLogger(__name__)


class Finished(Struct, frozen=True):
    """A replica whose process has ended for good. `digest` says from which version of its App it was made."""

    name: WorkloadName
    app: AppName
    digest: str


class FinishedReplicas:
    """Those of this node, in a file. One that cannot be written costs nothing until the agent ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found = {each.name: each for each in self._load()}

    def all(self) -> tuple[Finished, ...]:
        return tuple(self._found[name] for name in sorted(self._found))

    def add(self, finished: Finished) -> None:
        self._found[finished.name] = finished
        self._write()

    def remove(self, name: WorkloadName) -> None:
        if self._found.pop(name, None) is not None:
            self._write()

    def _load(self) -> tuple[Finished, ...]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=tuple[Finished, ...])
        except FileNotFoundError:
            return ()
        except msgspec.MsgspecError as error:
            log.error("what has finished runs again, as %s is damaged: %s", self._file, error)
            return ()

    def _write(self) -> None:
        try:
            write_private(self._file, msgspec.json.encode(self.all()))
        except OSError as error:
            log.error("what has finished may run again after a restart, %s is not written: %s", self._file, error)
