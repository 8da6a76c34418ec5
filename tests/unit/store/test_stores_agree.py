"""Whatever is written, all stores answer alike."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.suite import Clock, ref

from tulle.store.limits import Limits
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Delete, Event, Listing, Put, Store, StoreError
from tulle.store.sqlite import SqliteStore

LIMITS = Limits(versions=3, events=1000)  # within these, both keep exactly the same

refs = st.sampled_from([ref("a"), ref("b"), ref("a", namespace="art"), ref("a", "Namespace", "")])
expectations = st.none() | st.integers(0, 6)
changes = st.builds(
    Put, refs, st.sampled_from([b"1", b'{"spec":1}', b'{"metadata":1,"spec":1}']), expectations
) | st.builds(Delete, refs, expectations)
writes = st.lists(st.lists(changes, max_size=3), max_size=12)


async def outcome(store: Store, write: list[Put | Delete]) -> tuple[Event, ...] | str:
    try:
        return await store.write(write)
    except (StoreError, ValueError) as error:
        return repr(error)


async def everything(store: Store) -> tuple[Listing, list[tuple[Event, ...]], list[tuple[Event, ...]]]:
    listing = await store.list()
    watch = store.watch(0)
    seen: list[tuple[Event, ...]] = []
    while not seen or seen[-1][0].revision < listing.revision:
        seen.append(await anext(watch))
    histories = [await store.history(each) for each in (ref("a"), ref("b"), ref("a", "Namespace", ""))]
    return listing, seen, histories


async def compare(directory: Path, script: list[list[Put | Delete]]) -> None:
    memory, sqlite = MemoryStore(LIMITS, Clock()), SqliteStore(directory / "tulle.db", LIMITS, Clock())
    for write in [[Put(ref("first"), b"")], *script]:
        assert await outcome(sqlite, write) == await outcome(memory, write)
    assert await everything(sqlite) == await everything(memory)
    await sqlite.close()


@settings(max_examples=40, deadline=None)
@given(writes)
def test_they_agree(script: list[list[Put | Delete]]) -> None:
    with TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory), script))
