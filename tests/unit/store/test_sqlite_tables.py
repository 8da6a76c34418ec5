"""What SQLite has to do for what is asked of it."""

import sqlite3
from pathlib import Path

from tulle.model.names import ObjectRef
from tulle.store.protocol import Put
from tulle.store.sqlite import SqliteStore
from tulle.store.sqlite_tables import read_writes_after


def steps_to_follow(path: Path, since: int) -> int:
    """How much of its virtual machine's work SQLite does to say what was written after a revision."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite3.connect(path)
    try:
        connection.set_progress_handler(count, 10)
        read_writes_after(connection, since)
        return steps
    finally:
        connection.close()


async def test_following_costs_as_much_as_there_is_to_follow(tmp_path: Path) -> None:
    path = tmp_path / "tulle.db"
    store = SqliteStore(path)
    revisions = []
    for count in (1, 2_000):
        puts = [Put(ObjectRef("v1", "Service", "shop", f"s{n}"), b"{}") for n in range(count)]
        revisions.append(max(e.revision for e in await store.write(puts)))
    await store.close()
    assert steps_to_follow(path, revisions[1]) < 20
    assert steps_to_follow(path, revisions[0]) > 100
