import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
from tests.fakes import mesh

from tulle.control.refresh import FAULTS, Refresh
from tulle.model.http_route import HTTPRouteRule
from tulle.model.kinds import Resource
from tulle.model.mesh import Mesh, MeshSpec
from tulle.model.names import ServiceName
from tulle.model.parse import encode_json
from tulle.model.snapshot import Fact, Snapshot, build
from tulle.store.limits import Limits
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Delete, Event, Put, Unavailable

CATALOG, CART = mesh.service("catalog"), mesh.service("cart")


class Published:
    """What was published, in order."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.facts: list[frozenset[Fact]] = []

    def __call__(self, snapshot: Snapshot, facts: frozenset[Fact]) -> None:
        self.snapshots.append(snapshot)
        self.facts.append(facts)

    @property
    def names(self) -> list[set[str]]:
        return [{name.name for name in s.services} for s in self.snapshots]


class World:
    """A store, what follows it, and what came of that."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.store = MemoryStore(limits, clock=lambda: 1_767_225_600.5)
        self.published = Published()
        self.refresh = Refresh(self.store, self.published, "tulle.local", retry=0)

    async def write(self, *resources: Resource, gone: Iterable[Resource] = ()) -> int:
        puts = [Put(r.ref, encode_json(r)) for r in resources]
        events = await self.store.write([*puts, *(Delete(r.ref) for r in gone)])
        return events[0].revision

    async def break_(self, resource: Resource, body: bytes = b"{") -> int:
        (event,) = await self.store.write([Put(resource.ref, body)])
        return event.revision

    async def until(self, revision: int) -> None:
        async with asyncio.timeout(30):
            await self.refresh.reached(revision)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.refresh.follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def world() -> World:
    return World()


async def test_all_that_the_store_holds_is_published_at_once(world: World):
    revision = await world.write(CATALOG, CART)
    await world.refresh.load()
    assert world.published.names == [{"catalog", "cart"}]
    assert world.refresh.snapshot.revision == revision
    assert Fact("services", ServiceName("shop", "cart")) in world.published.facts[0]


async def test_each_write_is_published_with_what_differs(world: World):
    await world.refresh.load()
    async with world.following():
        await world.write(CATALOG)
        await world.write(CART, gone=[CATALOG])
        await world.until(2)
    assert world.published.names == [set(), {"catalog"}, {"cart"}]
    assert world.refresh.snapshot.revision == 2
    assert Fact("services", ServiceName("shop", "cart")) not in world.published.facts[1]


async def test_the_store_says_when_an_object_was_made(world: World):
    forged = mesh.http_route("r", HTTPRouteRule(), created="1970-01-01T00:00:00Z")
    await world.write(forged)
    await world.refresh.load()
    assert world.refresh.snapshot.objects[forged.ref].metadata.creation_timestamp == "2026-01-01T00:00:00.500000+00:00"


async def test_who_waits_for_a_revision_goes_on_when_it_is_reached(world: World):
    await world.refresh.load()
    await world.until(0)
    waiting = asyncio.create_task(world.refresh.reached(2))
    async with world.following():
        await world.write(CATALOG)
        await world.until(1)
        assert not waiting.done()
        await world.write(CART)
        async with asyncio.timeout(30):
            await waiting


async def test_a_store_that_cannot_be_read_for_a_while_is_followed_again(world: World, monkeypatch: pytest.MonkeyPatch):
    await world.write(CATALOG)
    await world.refresh.load()
    watch, failures = world.store.watch, iter([Unavailable("no disk"), Unavailable("no disk")])

    def failing(since: int) -> AsyncIterator[tuple[Event, ...]]:
        for error in failures:
            raise error
        return watch(since)

    monkeypatch.setattr(world.store, "watch", failing)
    async with world.following():
        await world.until(await world.write(CART))
    assert world.published.names == [{"catalog"}, {"catalog", "cart"}]


class TestWhatCannotBeRead:
    async def test_is_a_problem_and_blocks_nothing_else(self, world: World):
        await world.break_(CATALOG)
        await world.write(CART)
        await world.refresh.load()
        assert world.published.names == [{"cart"}]
        assert set(world.refresh.problems) == {CATALOG.ref}

    @pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'{"kind":"Service","apiVersion":"v1","x":1}', b""])
    async def test_stays_as_it_was_last_good(self, world: World, body: bytes):
        await world.write(CATALOG)
        await world.refresh.load()
        async with world.following():
            await world.until(await world.break_(CATALOG, body))
            assert world.refresh.problems[CATALOG.ref].problems
            assert world.published.facts[-1] == {Fact(FAULTS, CATALOG.ref)}
            assert world.published.names[-1] == {"catalog"}
            await world.until(await world.write(mesh.service("catalog", [mesh.TCP])))
            assert world.refresh.problems == {}
            assert world.refresh.snapshot.services[ServiceName("shop", "catalog")].ports[0].port == 9000

    async def test_can_still_be_deleted(self, world: World):
        await world.write(CATALOG)
        await world.refresh.load()
        async with world.following():
            await world.break_(CATALOG)
            await world.until(await world.write(gone=[CATALOG]))
        assert world.published.names[-1] == set()
        assert world.refresh.problems == {}

    async def test_stays_when_everything_is_read_again(self, world: World):
        await world.write(CATALOG)
        await world.refresh.load()
        await world.break_(CATALOG)
        await world.refresh.load()
        assert world.published.names[-1] == {"catalog"}
        assert set(world.refresh.problems) == {CATALOG.ref}

    async def test_is_no_problem_any_more_when_it_has_gone_unseen(self, world: World):
        await world.break_(CATALOG)
        await world.refresh.load()
        await world.write(gone=[CATALOG])
        await world.refresh.load()
        assert world.refresh.problems == {}


class TestMissedEvents:
    async def test_are_made_up_for_by_reading_everything(self):
        world = World(Limits(events=2))
        await world.write(CATALOG)
        await world.refresh.load()
        for _ in range(3):
            await world.write(CART)
            await world.write(gone=[CART])
        await world.write(CART, gone=[CATALOG])
        async with world.following():
            await world.until(8)
            assert world.published.names == [{"catalog"}, {"cart"}]
            await world.until(await world.write(CATALOG))
        assert world.refresh.snapshot.services.keys() == build([CATALOG, CART]).services.keys()

    async def test_change_nothing_where_the_outcome_is_the_same(self):
        world = World(Limits(events=2))
        await world.write(CATALOG)
        await world.refresh.load()
        for _ in range(3):
            await world.write(CART)
            await world.write(gone=[CART])
        async with world.following():
            await world.until(7)
        assert world.published.facts[-1] == frozenset()


class TestGuard:
    MANY = tuple(mesh.service(f"s{n}") for n in range(20))

    async def lose(self) -> World:
        """A store that is found nearly empty after events were missed."""
        world = World(Limits(events=2))
        await world.write(*self.MANY)
        await world.refresh.load()
        await world.write(gone=self.MANY[3:])
        await world.write(CATALOG)
        await world.write(gone=[CATALOG])
        await world.write(CATALOG)
        return world

    async def test_keeps_the_last_good_snapshot(self):
        world = await self.lose()
        async with world.following():
            await world.until(5)
            assert world.refresh.refusal is not None
            assert "20 were known" in world.refresh.refusal.message
            assert len(world.refresh.snapshot.services) == 20
            assert world.published.facts[-1] == frozenset()

    async def test_follows_what_is_written_afterwards(self):
        world = await self.lose()
        async with world.following():
            await world.until(5)
            await world.until(await world.write(CART))
            assert ServiceName("shop", "cart") in world.refresh.snapshot.services
            assert len(world.refresh.snapshot.services) == 21

    async def test_takes_what_is_there_when_nothing_was_known(self):
        world = await self.lose()
        again = Refresh(world.store, Published(), "tulle.local")
        await again.load()
        assert again.refusal is None
        assert len(again.snapshot.services) == 4

    async def test_has_nothing_against_what_is_deleted_bit_by_bit(self, world: World):
        await world.write(*self.MANY)
        await world.refresh.load()
        async with world.following():
            await world.until(await world.write(gone=self.MANY))
        assert world.refresh.refusal is None
        assert world.refresh.snapshot.services == {}


class TestTheTrustDomain:
    async def test_stays_the_one_of_the_authority_and_the_mesh_says_so(self, world: World):
        other = mesh.mesh(MeshSpec(trust_domain="other.example", mode="node"))
        await world.write(other)
        await world.refresh.load()
        served = world.refresh.snapshot.objects[other.ref]
        assert isinstance(served, Mesh)
        assert (served.spec.trust_domain, served.spec.mode) == ("tulle.local", "node")
        (problem,) = world.refresh.problems[other.ref].problems
        assert problem.path == "spec.trustDomain"

    async def test_that_is_right_is_no_problem(self, world: World):
        right = mesh.mesh(MeshSpec(trust_domain="tulle.local"))
        await world.write(right)
        await world.refresh.load()
        assert world.refresh.problems == {}
