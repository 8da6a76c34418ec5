"""What every store must do. A store's own test module inherits StoreSuite and makes the store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from tulle.model.names import ObjectRef
from tulle.store.limits import Limits
from tulle.store.protocol import Compacted, Conflict, Delete, Event, NotFound, Put, Store, Unavailable

DEADLINE = 20  # seconds; only a test that hangs gets there

Watch = AsyncIterator[tuple[Event, ...]]


def ref(name: str, kind: str = "Service", namespace: str = "shop", api_version: str = "v1") -> ObjectRef:
    return ObjectRef(api_version, kind, namespace, name)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def take(watch: Watch, count: int) -> list[tuple[Event, ...]]:
    async def gather() -> list[tuple[Event, ...]]:
        taken = []
        while len(taken) < count:
            taken.append(await anext(watch))
        return taken

    return await asyncio.wait_for(gather(), DEADLINE)


class StoreSuite:
    """`opened(limits)` is a context manager with a new store whose clock ticks once per reading."""

    def opened(self, limits: Limits) -> AbstractAsyncContextManager[Store]:
        raise NotImplementedError

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        async with self.opened(Limits()) as store:
            yield store

    async def test_starts_empty_at_revision_0(self, store: Store) -> None:
        assert await store.list() == type(await store.list())((), 0)
        assert await store.get(ref("a")) is None
        assert await store.history(ref("a")) == ()

    async def test_put_and_get(self, store: Store) -> None:
        (event,) = await store.write([Put(ref("a"), b"1")])
        assert event.revision == 1
        assert event.stored == await store.get(ref("a"))
        assert event.stored is not None
        assert (event.stored.body, event.stored.revision) == (b"1", 1)
        assert event.stored.created == event.stored.updated

    async def test_an_update_keeps_the_time_of_creation(self, store: Store) -> None:
        (first,) = await store.write([Put(ref("a"), b"1")])
        (second,) = await store.write([Put(ref("a"), b"2")])
        assert first.stored and second.stored
        assert second.revision == 2
        assert second.stored.created == first.stored.created < second.stored.updated

    async def test_the_generation_counts_changes_of_what_an_object_declares(self, store: Store) -> None:
        async def written(spec: str, **labels: str) -> int:
            body = b'{"kind":"Service","metadata":%s,"spec":%s}' % (
                msgspec.json.encode({"labels": labels}),
                spec.encode(),
            )
            (event,) = await store.write([Put(ref("a"), body)])
            assert event.stored == await store.get(ref("a"))
            assert event.stored is not None
            return event.stored.generation

        assert await written('{"x":1,"y":2}') == 1
        await store.write([Put(ref("other"), b"{}")])
        assert await written('{"x":1,"y":2}', tier="front") == 1
        assert await written('{"y":2,"x":1}') == 1
        assert await written('{"x":1}') == 2
        assert await written('{"x":1,"y":2}', tier="back") == 3
        assert [e.stored and e.stored.generation for e in await store.history(ref("a"))] == [3, 2, 1, 1, 1]
        (would,) = await store.rehearse([Put(ref("a"), b'{"spec":{}}')])
        assert would.stored is not None and would.stored.generation == 4
        await store.write([Delete(ref("a"))])
        assert await written('{"x":1}') == 1

    async def test_a_status_in_a_body_is_not_declared(self, store: Store) -> None:
        for body in (b'{"spec":{}}', b'{"spec":{},"status":{"ok":true}}'):
            (event,) = await store.write([Put(ref("a"), body)])
        assert event.stored is not None and event.stored.generation == 1

    async def test_every_change_of_a_body_that_is_no_object_counts(self, store: Store) -> None:
        for generation, body in enumerate((b"1", b"[]", b"\xff", b'{"spec"', b'{"spec":{}}'), start=1):
            (event,) = await store.write([Put(ref("a"), body)])
            assert event.stored is not None and event.stored.generation == generation

    async def test_one_write_has_one_revision(self, store: Store) -> None:
        await store.write([Put(ref("old"), b"")])
        events = await store.write([Put(ref("b"), b""), Put(ref("a"), b""), Delete(ref("old"))])
        assert [(event.ref.name, event.revision) for event in events] == [("b", 2), ("a", 2), ("old", 2)]
        assert (await store.list()).revision == 2

    async def test_a_put_of_the_same_body_writes_nothing(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1")])
        before = await store.get(ref("a"))
        assert await store.write([Put(ref("a"), b"1")]) == ()
        assert await store.write([]) == ()
        events = await store.write([Put(ref("a"), b"1"), Put(ref("b"), b"1")])
        assert [event.ref.name for event in events] == ["b"]
        assert await store.get(ref("a")) == before
        assert (await store.list()).revision == 2

    async def test_a_put_of_the_same_body_still_checks_what_it_expects(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1")])
        with pytest.raises(Conflict):
            await store.write([Put(ref("a"), b"1", expected=0)])

    @pytest.mark.parametrize(("expected", "actual"), [(0, 1), (2, 1)])
    async def test_conflict_with_what_is_there(self, store: Store, expected: int, actual: int) -> None:
        await store.write([Put(ref("a"), b"1")])
        for change in (Put(ref("a"), b"2", expected), Delete(ref("a"), expected)):
            with pytest.raises(Conflict) as caught:
                await store.write([change])
            assert (caught.value.ref, caught.value.expected, caught.value.actual) == (ref("a"), expected, actual)

    async def test_conflict_with_what_is_not_there(self, store: Store) -> None:
        with pytest.raises(Conflict) as caught:
            await store.write([Put(ref("a"), b"2", expected=7)])
        assert caught.value.actual == 0

    async def test_expected_revision_met(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1", expected=0)])
        await store.write([Put(ref("a"), b"2", expected=1)])
        await store.write([Delete(ref("a"), expected=2)])
        await store.write([Put(ref("a"), b"3", expected=0)])
        assert (await store.list()).revision == 4

    async def test_deleting_what_is_not_there(self, store: Store) -> None:
        for expected in (None, 0, 3):
            with pytest.raises(NotFound):
                await store.write([Delete(ref("a"), expected)])

    async def test_all_or_nothing(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1")])
        before = await store.list()
        for refused in (Put(ref("a"), b"2", expected=9), Delete(ref("nobody"))):
            with pytest.raises((Conflict, NotFound)):
                await store.write([Put(ref("b"), b"1"), refused])
        with pytest.raises(ValueError, match="once"):
            await store.write([Put(ref("b"), b"1"), Delete(ref("b"))])
        assert await store.list() == before

    async def test_a_rehearsal_says_what_a_write_would_do(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1"), Put(ref("b"), b"1")])
        before = await store.list()
        changed, created, gone = await store.rehearse(
            [Put(ref("a"), b"2", expected=1), Put(ref("c"), b"1", expected=0), Delete(ref("b"))]
        )
        assert changed.stored and created.stored
        assert (changed.stored.body, changed.revision, changed.stored.revision) == (b"2", 0, 0)
        assert (changed.stored.created, created.ref, gone.stored) == (before.items[0].created, ref("c"), None)
        assert await store.rehearse([Put(ref("a"), b"1")]) == ()
        with pytest.raises(Conflict):
            await store.rehearse([Put(ref("a"), b"2", expected=0)])
        with pytest.raises(NotFound):
            await store.rehearse([Delete(ref("c"))])
        assert await store.list() == before

    async def test_list_by_kind_and_namespace_in_order(self, store: Store) -> None:
        refs = [
            ref("b"), ref("a"), ref("a", namespace="art"), ref("ä"), ref("Z"),
            ref("shop", "Namespace", ""), ref("a", "App", api_version="tulle.dev/v1alpha1"),
        ]  # fmt: skip
        await store.write([Put(each, b"") for each in refs])

        async def listed(kind: str = "", namespace: str = "") -> list[ObjectRef]:
            return [stored.ref for stored in (await store.list(kind, namespace)).items]

        assert await listed() == sorted(refs)
        assert await listed("Service") == sorted(each for each in refs if each.kind == "Service")
        assert await listed("Service", "art") == [ref("a", namespace="art")]
        assert await listed("", "shop") == sorted(each for each in refs if each.namespace == "shop")
        assert await listed("Namespace") == [ref("shop", "Namespace", "")]
        assert await listed("Nothing") == []

    async def test_history_newest_first(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1")])
        await store.write([Put(ref("a"), b"2")])
        await store.write([Put(ref("b"), b"1")])
        await store.write([Delete(ref("a"))])
        await store.write([Put(ref("a"), b"3")])
        history = await store.history(ref("a"))
        assert [(event.revision, event.stored and event.stored.body) for event in history] == [
            (5, b"3"), (4, None), (2, b"2"), (1, b"1"),
        ]  # fmt: skip
        assert await store.history(ref("a"), limit=2) == history[:2]

    async def test_an_object_s_history_is_bounded(self) -> None:
        async with self.opened(Limits(versions=3, events=4)) as store:
            for number in range(10):
                await store.write([Put(ref("a"), b"%d" % number)])
            assert [event.revision for event in await store.history(ref("a"))] == [10, 9, 8]

    async def test_history_outlives_the_log_while_the_object_exists(self) -> None:
        async with self.opened(Limits(versions=3, events=4)) as store:
            await store.write([Put(ref("a"), b"1")])
            await store.write([Put(ref("a"), b"2")])
            for number in range(20):
                await store.write([Put(ref("b"), b"%d" % number)])
            assert [event.revision for event in await store.history(ref("a"))] == [2, 1]
            await store.write([Delete(ref("a"))])
            assert [event.revision for event in await store.history(ref("a"))] == [23, 2, 1]

    async def test_history_of_what_was_deleted_long_ago_goes(self) -> None:
        async with self.opened(Limits(versions=3, events=4)) as store:
            await store.write([Put(ref("gone"), b"1"), Put(ref("back"), b"1")])
            await store.write([Delete(ref("gone")), Delete(ref("back"))])
            await store.write([Put(ref("back"), b"2")])
            for number in range(20):
                await store.write([Put(ref("b"), b"%d" % number)])
            assert await store.history(ref("gone")) == ()
            assert [event.revision for event in await store.history(ref("back"))] == [3, 2, 1]

    async def test_watch_replays_then_follows(self, store: Store) -> None:
        first = await store.write([Put(ref("a"), b"1"), Put(ref("b"), b"1")])
        second = await store.write([Delete(ref("a"))])
        watch = store.watch(0)
        assert await take(watch, 2) == [first, second]
        waiting = asyncio.create_task(take(watch, 1))
        await asyncio.sleep(0)
        third = await store.write([Put(ref("c"), b"1")])
        assert await waiting == [third]

    async def test_watch_from_a_listing_has_no_gap(self, store: Store) -> None:
        await store.write([Put(ref("a"), b"1")])
        watch = store.watch((await store.list()).revision)
        missed = await store.write([Put(ref("b"), b"1")])
        assert await take(watch, 1) == [missed]

    async def test_several_watchers_see_every_write_of_several_writers(self, store: Store) -> None:
        async def writer(name: str) -> None:
            for number in range(20):
                await store.write([Put(ref(name), b"%d" % number)])

        watchers = [asyncio.create_task(take(store.watch(0), 60)) for _ in range(3)]
        await asyncio.gather(*(writer(name) for name in "abc"))
        seen = await asyncio.gather(*watchers)
        assert [events[0].revision for events in seen[0]] == list(range(1, 61))
        assert seen[1] == seen[2] == seen[0]

    async def test_watch_from_before_the_log(self) -> None:
        async with self.opened(Limits(versions=3, events=10)) as store:
            for number in range(30):
                await store.write([Put(ref("a"), b"%d" % number)])
            with pytest.raises(Compacted):
                await take(store.watch(0), 1)
            assert [events[0].revision for events in await take(store.watch(20), 10)] == list(range(21, 31))

    async def test_watch_never_gets_part_of_a_write(self) -> None:
        async with self.opened(Limits(versions=1, events=10)) as store:
            for number in range(12):
                await store.write([Put(ref(name), b"%d" % number) for name in "abcdefg"])
            assert [len(events) for events in await take(store.watch(10), 2)] == [7, 7]
            large = await store.write([Put(ref(f"n{number}"), b"") for number in range(40)])
            assert await take(store.watch(12), 1) == [large]

    async def test_watch_from_a_revision_that_is_yet_to_come(self, store: Store) -> None:
        with pytest.raises(Compacted):
            await take(store.watch(1), 1)

    async def test_a_slow_watcher_learns_that_it_missed_something(self) -> None:
        async with self.opened(Limits(versions=1, events=5)) as store:
            await store.write([Put(ref("a"), b"")])
            watch = store.watch(0)
            await take(watch, 1)
            for number in range(20):
                await store.write([Put(ref("a"), b"%d" % number)])
            with pytest.raises(Compacted):
                await take(watch, 1)

    async def test_close_ends_a_watch(self, store: Store) -> None:
        waiting = asyncio.create_task(take(store.watch(0), 1))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(Unavailable):
            await waiting

    async def test_a_write_whose_caller_is_gone_leaves_the_store_whole(self, store: Store) -> None:
        writes = [asyncio.create_task(store.write([Put(ref(f"n{number}"), b"")])) for number in range(20)]
        await asyncio.sleep(0)
        for write in writes[::2]:
            write.cancel()
        for write in writes:
            with contextlib.suppress(asyncio.CancelledError):
                await write
        listing = await store.list()
        assert {stored.ref.name for stored in listing.items} >= {f"n{number}" for number in range(1, 20, 2)}
        assert sorted(stored.revision for stored in listing.items) == list(range(1, listing.revision + 1))
