import asyncio
from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from tests.fakes import mesh
from tests.unit.control.conftest import Plane

from tulle.control.status import Statuses
from tulle.control.status_watches import StatusWatches, Watch
from tulle.model.http_route import HTTPRouteRule
from tulle.model.keys import VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ProxyId
from tulle.store.protocol import Put
from tulle.xds.names import name_of

DEADLINE = 20  # seconds; only a test that hangs gets there
CATALOG, OTHER = mesh.service("catalog"), mesh.service("other")
ROUTE = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("catalog"),)))
BANK = mesh.http_route("b", HTTPRouteRule(backend_refs=(mesh.http_backend("vault"),)), parents=[mesh.parent("other")])
HOST = VirtualHostKey("shop", "catalog:8080")


def asking(watch: Watch, resources: Iterable[Resource]) -> Watch:
    for resource in resources:
        watch.of(resource.ref)
    return watch


async def changed(watch: Watch) -> set[str]:
    return {ref.name for ref in await asyncio.wait_for(watch.changed(), DEADLINE)}


@pytest.fixture
async def watch(plane: Plane) -> Watch:
    await plane.write(CATALOG, OTHER, ROUTE, BANK)
    return asking(plane.backend.watch_statuses(), (CATALOG, OTHER, ROUTE, BANK))


def refuse(plane: Plane, words: str, *nodes: str) -> None:
    plane.compiler.resource(HOST)
    for node in nodes:
        plane.rejections.refused(ProxyId(node), *name_of(HOST), words)


async def test_it_answers_as_the_statuses_do(plane: Plane, watch: Watch):
    refuse(plane, "bad", "n1")
    for resource in (CATALOG, ROUTE, mesh.service("nobody")):
        assert watch.of(resource.ref) == plane.statuses.of(resource.ref)


async def test_what_a_proxy_refuses_and_takes_again(plane: Plane, watch: Watch):
    refuse(plane, "bad", "n1")
    assert await changed(watch) == {"r"}
    assert watch.of(ROUTE.ref).parents[0].conditions[-1].message == "node~n1: bad"
    type_url, name = name_of(HOST)
    plane.rejections.over(ProxyId("n1"), type_url, {name: "1"})
    assert await changed(watch) == {"r"}
    assert watch.of(ROUTE.ref).parents[0].conditions[-1].status == "True"


async def test_a_proxy_that_refused_something_leaves(plane: Plane, watch: Watch):
    refuse(plane, "bad", "n1")
    await changed(watch)
    watch.of(ROUTE.ref)
    plane.rejections.forget(ProxyId("n1"))
    assert await changed(watch) == {"r"}


async def test_what_is_refused_is_no_longer_asked_for(plane: Plane, watch: Watch):
    refuse(plane, "bad", "n1")
    await changed(watch)
    watch.of(ROUTE.ref)
    plane.compiler.forget([HOST])
    assert await changed(watch) == {"r"}
    assert watch.of(ROUTE.ref) == plane.statuses.of(ROUTE.ref)


async def test_a_reference_that_leads_somewhere_now(plane: Plane, watch: Watch):
    await plane.write(mesh.service("vault"))
    assert await changed(watch) == {"b"}
    assert watch.of(BANK.ref).parents[0].conditions[1].status == "True"


async def test_what_is_written_is_known_later_than_it_is_stored(plane: Plane, watch: Watch):
    late = mesh.service("late")
    watch.of(late.ref)  # a watch may hear of the write before the snapshot does
    await plane.write(late)
    assert await changed(watch) == {"late"}
    await plane.write(replace(late, spec=replace(late.spec, ports=())))
    watch.of(late.ref)
    await plane.write(gone=[late])
    assert await changed(watch) == {"late"}


async def test_what_cannot_be_read_and_what_can_again(plane: Plane, watch: Watch):
    for body in (b"{", b'{"kind":"Service"}'):
        (event,) = await plane.store.write([Put(CATALOG.ref, body)])
        await plane.reached(event.revision)
        assert await changed(watch) == {"catalog"}
        assert watch.of(CATALOG.ref).conditions[0].reason == "Invalid"
    await plane.write(CATALOG)
    assert await changed(watch) == {"catalog"}


async def test_a_burst_is_told_once_and_found_out_once(plane: Plane):
    class Counting(Statuses):
        answers = blames = 0

        def answer(self, ref: ObjectRef):
            self.answers += 1
            return super().answer(ref)

        def _find_blame(self):
            self.blames += 1
            return super()._find_blame()

    await plane.write(CATALOG, OTHER, ROUTE, BANK)
    statuses = Counting(plane.refresh, plane.compiler, plane.rejections)
    watch = asking(StatusWatches(statuses, moment=0).open(), (CATALOG, OTHER, ROUTE, BANK))
    before = statuses.answers, statuses.blames
    refuse(plane, "bad", *(f"n{number}" for number in range(500)))
    assert await changed(watch) == {"r"}
    watch.of(ROUTE.ref)
    assert (statuses.answers - before[0], statuses.blames - before[1]) == (0, 1)


async def test_only_who_asked_is_told(plane: Plane, watch: Watch):
    second = plane.backend.watch_statuses()
    second.of(BANK.ref)
    refuse(plane, "bad", "n1")
    assert await changed(watch) == {"r"}
    await plane.write(mesh.service("vault"))
    assert await changed(second) == await changed(watch) == {"b"}


async def test_nobody_is_told_after_the_end(plane: Plane, watch: Watch):
    watch.close()
    later = asking(plane.backend.watch_statuses(), [BANK])
    await plane.write(mesh.service("vault"))
    assert await changed(later) == {"b"}


async def test_what_was_shown_for_a_moment_only_is_told(plane: Plane, watch: Watch):
    refuse(plane, "bad", "n1")
    assert watch.of(ROUTE.ref).parents[0].conditions[-1].status == "False"
    plane.rejections.forget(ProxyId("n1"))
    assert await changed(watch) == {"r"}
    assert watch.of(ROUTE.ref).parents[0].conditions[-1].status == "True"
