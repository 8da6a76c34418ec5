"""Keeps secrets in files that only their owner can read, whatever the umask.

Every key and token of a process goes through here, so that "0600 in 0700, written whole or not at all" is in one place.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from tulle.identity.errors import InUse, UnsafeFile

_OTHERS = 0o077
_PASSAGE = 0o010


def make_private_directory(path: Path) -> None:
    """Makes `path` (0700) and the parents it lacks. Raises UnsafeFile if it exists and is open to others: changing
    the mode of a directory that somebody else uses would be worse than saying so. One that `let_through` opened to a
    group stays so."""
    if not path.parent.exists():
        make_private_directory(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        _check(path.lstat(), path, stat.S_ISDIR, "chmod 700", tolerated=_PASSAGE)
    else:
        path.chmod(0o700)


def let_through(path: Path, group: int) -> None:
    """Lets the members of a group pass through a private directory (0710): they find in there what they know the name
    of and may open, and see nothing else."""
    os.chown(path, -1, group)
    path.chmod(0o700 | _PASSAGE)


def write_private(path: Path, content: bytes) -> None:
    """Replaces `path` (0600): readers see the old content or the new, also after a crash."""
    temporary = _temporary(path, content)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def create_private(path: Path, content: bytes) -> None:
    """Makes `path` (0600), whole or not at all. Raises FileExistsError: of two processes one wins."""
    temporary = _temporary(path, content)
    try:
        path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    _sync(path.parent)


def read_private(path: Path) -> bytes:
    """The content of `path`. Raises UnsafeFile if others can read or write it or own it, FileNotFoundError."""
    try:
        # Without waiting, should a pipe stand there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnsafeFile(f"{path} cannot be read: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor), path, stat.S_ISREG, "chmod 600")
        return b"".join(iter(lambda: os.read(descriptor, 65536), b""))
    finally:
        os.close(descriptor)


def lock_alone(path: Path, owner: str) -> int:
    """Makes `path` and locks it until the descriptor that it returns is closed. Raises InUse, which says what `owner`
    ("an agent") is, where another process has the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InUse(f"{owner} runs in {path.parent} already") from error
    return descriptor


def _temporary(path: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _check(status: os.stat_result, path: Path, is_kind: Callable[[int], bool], remedy: str, tolerated: int = 0) -> None:
    if not is_kind(status.st_mode):
        raise UnsafeFile(f"{path} is a link, or not the kind of file it has to be")
    if status.st_uid != os.geteuid():
        raise UnsafeFile(f"{path} belongs to user {status.st_uid}, not to the user {os.geteuid()} that runs this")
    if status.st_mode & _OTHERS & ~tolerated:
        raise UnsafeFile(f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): {remedy} {path}")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
