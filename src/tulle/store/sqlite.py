"""A store in one SQLite file: what a control plane uses unless several of them share an etcd.

One thread writes and another reads, so reads do not wait for the disk. Writes that arrive while one is being made
durable share the next transaction (group commit): under load, many writes cost one fsync.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from tulle.model.names import ObjectRef
from tulle.store import sqlite_tables as tables
from tulle.store.announce import Announcer
from tulle.store.limits import Limits
from tulle.store.protocol import Conflict, Delete, Event, Listing, NotFound, Put, Stored, Unavailable
from tulle.store.sqlite_file import OpenFile, open_file, translated
from tulle.store.transaction import plan

T = TypeVar("T")


class _Write(Struct, frozen=True):
    changes: tuple[Put | Delete, ...]
    events: "Future[tuple[Event, ...]]"


class SqliteStore:
    """Used from one event loop; `path` is opened by the constructor, which raises Unavailable."""

    def __init__(self, path: Path, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        self._file: OpenFile = open_file(path)
        self._limits = limits or Limits()
        self._clock = clock
        self._announcer = Announcer()
        self._closed = False
        self._waiting: deque[_Write] = deque()
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")

    async def get(self, ref: ObjectRef) -> Stored | None:
        return await self._read(partial(tables.read_object, ref=ref))

    async def list(self, kind: str = "", namespace: str = "") -> Listing:
        def read(connection: sqlite3.Connection) -> Listing:
            items = tables.read_objects(connection, kind, namespace)
            return Listing(items, tables.read_meta(connection, "revision"))

        return await self._read(read)

    async def write(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        self._require_open()
        write = _Write(tuple(changes), Future())
        self._waiting.append(write)
        self._write_thread.submit(self._commit_waiting, asyncio.get_running_loop())
        return await asyncio.wrap_future(write.events)

    async def rehearse(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        def read(connection: sqlite3.Connection) -> tuple[Event, ...]:
            return plan(changes, partial(tables.read_object, connection), 0, self._clock())

        return await self._read(read)

    def watch(self, since: int) -> AsyncIterator[tuple[Event, ...]]:
        return self._announcer.follow(since, self._read_after)

    async def history(self, ref: ObjectRef, limit: int = 20) -> tuple[Event, ...]:
        return await self._read(partial(tables.read_history, ref=ref, limit=min(limit, self._limits.versions)))

    async def close(self) -> None:
        """Finishes the writes that were asked for, ends the watches and lets go of the file."""
        if self._closed:
            return
        self._closed = True
        self._announcer.close()
        await asyncio.to_thread(self._write_thread.shutdown)
        await asyncio.to_thread(self._read_thread.shutdown)
        await asyncio.to_thread(self._file.close)

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, self._read_now, read)

    def _read_now(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """In the reading thread: one transaction, so that everything read is of one revision."""
        with translated(self._file.path):
            self._file.reader.execute("BEGIN")
            try:
                return read(self._file.reader)
            finally:
                if self._file.reader.in_transaction:
                    self._file.reader.execute("ROLLBACK")

    async def _read_after(self, since: int) -> Sequence[tuple[Event, ...]]:
        return await self._read(partial(tables.read_writes_after, since=since))

    def _commit_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the writing thread: makes everything that waits durable in one transaction, then acknowledges it."""
        writes = []
        while self._waiting:
            write = self._waiting.popleft()
            if write.events.set_running_or_notify_cancel():
                writes.append(write)
        if not writes:  # an earlier call took them along
            return
        try:
            with translated(self._file.path):
                results = self._commit(writes)
        except Exception as error:  # this is the thread's root; whoever waits for the write is told
            for write in writes:
                write.events.set_exception(error)
            return
        if any(isinstance(result, tuple) and result for result in results):
            loop.call_soon_threadsafe(self._announcer.announce)
        for write, result in zip(writes, results, strict=True):
            if isinstance(result, tuple):
                write.events.set_result(result)
            else:
                write.events.set_exception(result)

    def _commit(self, writes: Sequence[_Write]) -> Sequence[tuple[Event, ...] | Exception]:
        connection = self._file.writer
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [self._apply(write.changes) for write in writes]
            touched = {event.ref for result in results if isinstance(result, tuple) for event in result}
            tables.prune(connection, touched, self._limits)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _apply(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...] | Exception:
        """The events of one write, or why it was refused; one that was refused has written nothing."""
        connection, now = self._file.writer, self._clock()
        try:
            current = partial(tables.read_object, connection)
            events = plan(changes, current, tables.read_meta(connection, "revision") + 1, now)
        except (Conflict, NotFound, ValueError) as refusal:
            return refusal
        if events:
            tables.write_events(connection, events, now)
        return events
