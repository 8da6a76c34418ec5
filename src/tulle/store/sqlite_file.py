"""Opens the file of a SqliteStore, or refuses with what to do.

A store that cannot be trusted stays as it is: nothing here repairs, empties or replaces a file that exists. One of an
earlier version is brought up to date when it is opened.
"""

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tulle.store.protocol import Unavailable

SCHEMA = 2

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE objects (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, api_version TEXT NOT NULL,
    body BLOB NOT NULL, revision INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name, api_version)
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, api_version TEXT NOT NULL,
    body BLOB, revision INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_object ON events (kind, namespace, name, api_version, id);
CREATE INDEX events_by_revision ON events (revision);
INSERT INTO meta VALUES ('schema', 2), ('revision', 0), ('compacted', 0), ('compacted_id', 0);
"""

# From schema 1, in which the revision stood for the generation: one that was seen must not go back.
_FROM_1 = """
ALTER TABLE objects ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
UPDATE objects SET generation = revision;
UPDATE events SET generation = revision WHERE body IS NOT NULL;
UPDATE meta SET value = 2 WHERE name = 'schema';
"""

_DAMAGED = (
    "{path} is damaged ({error}). Nothing was changed. Stop this process, move {path} and the files beside it that "
    "begin with its name to another directory, copy a backup to {path}, and start again"
)
_INSTRUCTIONS = {
    sqlite3.SQLITE_FULL: "the disk of {path} is full ({error}). Free some space there; writes then work again",
    sqlite3.SQLITE_READONLY: "{path} cannot be written ({error}). Make its file system and directory writable",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened ({error}). Check that its directory exists and is writable",
    sqlite3.SQLITE_PERM: "{path} may not be opened ({error}). Check whom the file and its directory belong to",
    sqlite3.SQLITE_BUSY: "another process works on {path} ({error}). End that process",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
_SAME_AS = {  # what the file system calls it, and SQLite
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_PERM,
    errno.EPERM: sqlite3.SQLITE_PERM,
}
_OTHER = "{path} cannot be read or written ({error}). Check the disk, its free space and the kernel's log"


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise about `path` into Unavailable with an instruction."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        raise Unavailable(_instruction(path, code, str(error))) from error
    except OSError as error:
        code = _SAME_AS.get(error.errno or 0, 0)
        raise Unavailable(_instruction(path, code, error.strerror or str(error))) from error


def _instruction(path: Path, code: int, error: str) -> str:
    return _INSTRUCTIONS.get(code, _OTHER).format(path=path, error=error)


class OpenFile:
    """A store's file, held by this process alone: one connection that writes and one that reads."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, opened: ExitStack) -> None:
        self.path, self.writer, self.reader = path, writer, reader
        self._opened = opened

    def close(self) -> None:
        """Lets go of the file; raises Unavailable."""
        with translated(self.path):
            self._opened.close()


def open_file(path: Path) -> OpenFile:
    """Opens or makes `path`; raises Unavailable.

    The directory has to be the user's alone; it is made where it is missing, and locked as long as the store is open.
    """
    with translated(path), ExitStack() as opened:
        lock = _locked_directory(path)
        opened.callback(os.close, lock)
        _create_if_new(path)
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            path.chmod(0o600)
        writer = opened.enter_context(closing(_connect(path)))
        _bring_up_to_date(writer, _check(path, writer))
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        reader = opened.enter_context(closing(_connect(path)))
        reader.execute("PRAGMA query_only = ON")
        return OpenFile(path, writer, reader, opened.pop_all())


def _locked_directory(path: Path) -> int:
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        raise Unavailable(f"others can read {directory} (mode {mode:04o}). Run: chmod 700 {directory}")
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise Unavailable(f"another process works on {path}. End it, or use another directory") from error
    return lock


def _create_if_new(path: Path) -> None:
    """Makes the file under another name first, so that an empty file at `path` is never taken for a new store."""
    if path.exists():
        return
    log = path.with_name(path.name + "-wal")
    if log.exists():
        raise Unavailable(f"{path} is missing but its log {log} is there. Put the file back, or move the log away")
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = _connect(draft)
    connection.executescript("BEGIN;" + _TABLES + "COMMIT;")
    connection.close()
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)


def _connect(path: Path) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but not by the one that opens it.
    return sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)


def _bring_up_to_date(connection: sqlite3.Connection, schema: int) -> None:
    """In one transaction: a file that cannot be changed stays as it is."""
    if schema < SCHEMA:
        try:
            connection.executescript("BEGIN IMMEDIATE;" + _FROM_1 + "COMMIT;")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _check(path: Path, connection: sqlite3.Connection) -> int:
    """The schema of a file that can be trusted; raises Unavailable."""
    if path.stat().st_size == 0:
        raise Unavailable(_DAMAGED.format(path=path, error="it is empty"))
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        raise Unavailable(f"{path} is no Tulle store. Nothing was changed. Name another file")
    (schema,) = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() or (0,)
    if schema > SCHEMA:
        raise Unavailable(
            f"{path} was written by a newer Tulle (schema {schema}; this one knows {SCHEMA}). Nothing was changed. "
            "Start the newer version, or restore a backup from before the upgrade"
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Unavailable(_DAMAGED.format(path=path, error=verdict))
    return int(schema)
