"""Knows the files of one proxy below the run directory.

They are all that a new agent finds of the proxies that an earlier one started.
"""

import hashlib
import os
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from tulle.agent.pidfd import ProcessIdentity
from tulle.identity.private_file import let_through, make_private_directory, write_private
from tulle.model.names import ProxyId


def file_name(proxy: ProxyId) -> str:
    """Names files of the proxy. A long id is cut and told apart by a hash: the path of a unix socket has 107 bytes at
    most, a file's name 255."""
    name = str(proxy)
    return name if len(name) <= 32 else f"{name[:19]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


class ProcessState(Struct, frozen=True):
    """What launch_envoy.py writes into process.json."""

    proxy: str
    restarts: int
    process: ProcessIdentity


class ProxyDirectory(Struct, frozen=True):
    """The files of one proxy below the run directory.

    They are the agent's, and the proxy may pass through. Where the proxy is another user's, it can write into
    `admin/` only: what the agent reads and writes elsewhere is never what a proxy put there.
    """

    path: Path

    @classmethod
    def of(cls, run_dir: Path, proxy: ProxyId) -> "ProxyDirectory":
        return cls(run_dir / "proxies" / file_name(proxy))

    @property
    def admin(self) -> Path:
        """The socket. `admin.sock`, which people look for, leads there."""
        return self.path / "admin" / "sock"

    @property
    def bootstrap(self) -> Path:
        return self.path / "bootstrap.json"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def state(self) -> Path:
        return self.path / "process.json"

    def make(self, user: int | None = None) -> None:
        """`user` is the proxy's, and its group; None: the agent's own."""
        make_private_directory(self.path)
        self.admin.parent.mkdir(mode=0o700, exist_ok=True)
        self.admin.parent.chmod(0o700)
        link = self.path / "admin.sock"
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(self.admin.relative_to(self.path))
        owner = (os.geteuid(), os.getegid()) if user is None else (user, user)
        os.chown(self.admin.parent, *owner)  # it may have been another's before
        if user is not None:
            for directory in (self.path.parent, self.path):
                let_through(directory, user)

    def read_state(self) -> ProcessState | None:
        """None where there is no state or it is damaged: then nothing is known to run here."""
        try:
            return msgspec.json.decode(self.state.read_bytes(), type=ProcessState)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeError):
            return None

    def write_bootstrap(self, bootstrap: bytes, reader: int | None = None) -> None:
        """For `reader`, or for the agent's own user."""
        write_private(self.bootstrap, bootstrap)
        if reader is not None:
            os.chown(self.bootstrap, reader, reader)

    def remove(self) -> None:
        """Forgets a proxy that has ended for good. Every incarnation of a workload has a directory of its own, so they
        would pile up."""
        shutil.rmtree(self.path, ignore_errors=True)

    def turn_log_over(self, limit: int) -> None:
        """Envoy keeps its descriptor and appends, so the log is copied and emptied in place. The last `limit` bytes
        are kept: what a proxy writes is read into memory here, and it may write any amount."""
        if not self.log.exists() or self.log.stat().st_size <= limit:
            return
        old = self.log.with_name("log.1")
        old.touch(mode=0o600)
        with self.log.open("rb") as log:
            log.seek(-limit, os.SEEK_END)
            old.write_bytes(log.read(limit))
        os.truncate(self.log, 0)
