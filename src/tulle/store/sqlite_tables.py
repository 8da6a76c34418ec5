"""The SQL of a SqliteStore: what is read and written inside a transaction that somebody else begins and ends.

`objects` holds what there is now. `events` is the log for watches and the history of every object in one: an event
stays while a watch may still want it or while it is one of its object's newest versions.
"""

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import TypeAlias

from tulle.model.names import ObjectRef
from tulle.store.limits import Limits
from tulle.store.protocol import Compacted, Event, Stored

Row: TypeAlias = tuple[str, str, str, str, bytes | None, int, float, float, int]
RefColumns: TypeAlias = tuple[str, str, str, str]

_COLUMNS = "kind, namespace, name, api_version, body, revision, created, updated, generation"
_REF = "kind = ? AND namespace = ? AND name = ? AND api_version = ?"
_ORDER = "api_version, kind, namespace, name"


def read_meta(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(value)


def _write_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def read_object(connection: sqlite3.Connection, ref: ObjectRef) -> Stored | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM objects WHERE {_REF}", _ref_columns(ref)).fetchone()  # noqa: S608
    return _event(row).stored if row else None


def read_objects(connection: sqlite3.Connection, kind: str, namespace: str) -> tuple[Stored, ...]:
    """In order of reference; an empty kind or namespace means any."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM objects WHERE ? IN ('', kind) AND ? IN ('', namespace) ORDER BY {_ORDER}",  # noqa: S608
        (kind, namespace),
    )
    return tuple(event.stored for event in map(_event, rows) if event.stored is not None)


def read_history(connection: sqlite3.Connection, ref: ObjectRef, limit: int) -> tuple[Event, ...]:
    """Newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE {_REF} ORDER BY id DESC LIMIT ?",  # noqa: S608
        (*_ref_columns(ref), limit),
    )
    return tuple(map(_event, rows))


def read_writes_after(connection: sqlite3.Connection, since: int) -> Sequence[tuple[Event, ...]]:
    """One tuple per write, oldest first; raises Compacted."""
    compacted, revision = read_meta(connection, "compacted"), read_meta(connection, "revision")
    if not compacted <= since <= revision:
        raise Compacted(f"revision {since} is outside of what is kept, {compacted} to {revision}")
    # Ids grow with revisions. Said this way the index gives the order; by the id alone SQLite would read all events.
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE revision > ? ORDER BY revision, id",  # noqa: S608
        (since,),
    )
    return [tuple(events) for _, events in groupby(map(_event, rows), key=lambda event: event.revision)]


def write_events(connection: sqlite3.Connection, events: Sequence[Event], now: float) -> None:
    """Makes the events of one write, which are not empty, part of the store."""
    gone = [_ref_columns(event.ref) for event in events if event.stored is None]
    kept = [_row(event, now) for event in events if event.stored is not None]
    connection.executemany(f"DELETE FROM objects WHERE {_REF}", gone)  # noqa: S608
    connection.executemany(f"INSERT OR REPLACE INTO objects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)  # noqa: S608
    connection.executemany(
        f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [_row(event, now) for event in events],
    )
    _write_meta(connection, "revision", events[0].revision)


def prune(connection: sqlite3.Connection, touched: set[ObjectRef], limits: Limits) -> None:
    """Forgets what `limits` do not keep. `touched` are the objects written since the last time."""
    compacted = read_meta(connection, "compacted")
    for ref in touched:
        _prune_object(connection, _ref_columns(ref), compacted, limits.versions)
    (newest,) = connection.execute("SELECT max(id) FROM events").fetchone()
    # The events after `compacted_id` have ids without a gap. Compacting in steps makes its cost a small share of all.
    if newest is not None and newest - read_meta(connection, "compacted_id") > limits.events + limits.events // 10:
        _compact(connection, compacted, newest - limits.events, limits.versions)


def _compact(connection: sqlite3.Connection, before: int, last_id: int, versions: int) -> None:
    """Lets watches go back to the write after event `last_id` and no further; a write is never split."""
    (kept,) = connection.execute("SELECT revision FROM events WHERE id = ?", (last_id + 1,)).fetchone()
    compacted = kept - 1
    between = (before, compacted)
    refs = connection.execute(
        "SELECT DISTINCT kind, namespace, name, api_version FROM events WHERE revision > ? AND revision <= ?", between
    ).fetchall()
    (compacted_id,) = connection.execute("SELECT min(id) - 1 FROM events WHERE revision = ?", (kept,)).fetchone()
    _write_meta(connection, "compacted", compacted)
    _write_meta(connection, "compacted_id", compacted_id)
    for columns in refs:
        _prune_object(connection, columns, compacted, versions)


def _prune_object(connection: sqlite3.Connection, columns: RefColumns, compacted: int, versions: int) -> None:
    newest = connection.execute(
        f"SELECT revision, body IS NULL FROM events WHERE {_REF} ORDER BY id DESC LIMIT 1",  # noqa: S608
        columns,
    ).fetchone()
    gone = newest is not None and newest[1] and newest[0] <= compacted
    connection.execute(
        f"DELETE FROM events WHERE {_REF} AND revision <= ? AND id NOT IN "  # noqa: S608
        f"(SELECT id FROM events WHERE {_REF} ORDER BY id DESC LIMIT ?)",
        (*columns, compacted, *columns, 0 if gone else versions),
    )


def _ref_columns(ref: ObjectRef) -> RefColumns:
    return (ref.kind, ref.namespace, ref.name, ref.api_version)


def _row(event: Event, now: float) -> Row:
    if event.stored is None:
        return (*_ref_columns(event.ref), None, event.revision, now, now, 0)
    stored = event.stored
    written = (stored.body, stored.revision, stored.created, stored.updated, stored.generation)
    return (*_ref_columns(event.ref), *written)


def _event(row: Row) -> Event:
    kind, namespace, name, api_version, body, revision, created, updated, generation = row
    ref = ObjectRef(api_version, kind, namespace, name)
    return Event(ref, revision, None if body is None else Stored(ref, body, revision, created, updated, generation))
