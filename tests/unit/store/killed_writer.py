"""Writes to a store for ever and prints every acknowledgement; run by test_sqlite_killed.py, which kills it."""

import asyncio
import sys
from pathlib import Path

from tulle.model.names import ObjectRef
from tulle.store.protocol import Put
from tulle.store.sqlite import SqliteStore


async def write_for_ever(store: SqliteStore, writer: int, round_: int) -> None:
    number = 0
    while True:
        body = b"%d/%d" % (round_, number)
        refs = [ObjectRef("v1", "Service", f"w{writer}", f"n{number % 7}-{half}") for half in "ab"]
        events = await store.write([Put(ref, body) for ref in refs])
        sys.stdout.write(f"{writer} n{number % 7} {body.decode()} {events[0].revision}\n")
        sys.stdout.flush()
        number += 1


async def main(path: Path, round_: int) -> None:
    store = SqliteStore(path)
    async with asyncio.TaskGroup() as tasks:
        for writer in range(4):
            tasks.create_task(write_for_ever(store, writer, round_))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
