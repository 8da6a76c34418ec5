from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from tests.fakes import mesh
from tests.unit.control.conftest import Plane

from tulle.control.reports import Reports, changes
from tulle.identity.errors import Unavailable
from tulle.identity.issuer import RegisteredWorkload
from tulle.identity.messages import ReportRequest
from tulle.model.names import SpiffeId, WorkloadName
from tulle.model.parse import encode_json
from tulle.model.snapshot import build
from tulle.model.workload import Workload
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Conflict, Delete, Event, NotFound, Put, StoreError
from tulle.store.protocol import Unavailable as StoreUnavailable

WEB, CART = mesh.workload("web-1", "web"), mesh.workload("cart-1", "cart")
FAR = mesh.workload("far-1", "far", node="n2")


class Refusing(MemoryStore):
    """A store that takes nothing."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error

    async def write(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        raise self._error


class TestChanges:
    def test_of_a_node_that_is_new_are_all_its_workloads(self):
        assert changes(build([]), "n1", [WEB]) == (Put(WEB.ref, encode_json(WEB), 0),)

    def test_of_what_is_known_are_none(self):
        assert changes(build([WEB, FAR]), "n1", [WEB]) == ()

    def test_of_what_differs_are_written(self):
        ready = mesh.workload("web-1", "web", state="Draining")
        relabelled = mesh.workload("cart-1", "cart", labels={"app": "other"})
        assert changes(build([WEB, CART]), "n1", [ready, relabelled]) == (
            Put(ready.ref, encode_json(ready)),
            Put(relabelled.ref, encode_json(relabelled)),
        )

    def test_of_what_is_missing_are_deletions(self):
        assert changes(build([WEB, CART, FAR]), "n1", [WEB]) == (Delete(CART.ref),)

    def test_leave_other_nodes_alone(self):
        assert changes(build([FAR]), "n1", []) == ()

    def test_what_the_store_adds_is_no_difference(self):
        stored = replace(WEB, metadata=replace(WEB.metadata, creation_timestamp="2026-01-01T00:00:00Z", generation=3))
        assert changes(build([stored]), "n1", [WEB]) == ()


class TestTake:
    async def test_makes_workloads_known_before_it_answers(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        assert (await plane.report(node, WEB, CART)).problems == ()
        assert set(plane.refresh.snapshot.workloads) == {WorkloadName("shop", "web-1"), WorkloadName("shop", "cart-1")}
        registered = await plane.directory.workload(WorkloadName("shop", "web-1"))
        assert registered == RegisteredWorkload("n1", SpiffeId("tulle.local", "shop", "web"))

    async def test_forgets_what_is_no_longer_there(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        await plane.report(node, WEB, CART)
        await plane.report(node, CART)
        await plane.report(node, CART)
        assert set(plane.refresh.snapshot.workloads) == {WorkloadName("shop", "cart-1")}
        assert await plane.directory.workload(WorkloadName("shop", "web-1")) is None

    async def test_lets_a_node_speak_for_itself_only(self, plane: Plane):
        one, two = await plane.enrol("n1", "shop/*"), await plane.enrol("n2", "shop/*")
        await plane.report(two, FAR)
        (problem,) = (await plane.report(one, FAR, WEB)).problems
        assert (problem.path, problem.resource) == ("spec.node", "Workload/shop/far-1")
        await plane.report(one)
        assert set(plane.refresh.snapshot.workloads) == {WorkloadName("shop", "far-1")}

    async def test_does_not_let_a_node_take_over_anothers_name(self, plane: Plane):
        one, two = await plane.enrol("n1", "shop/*"), await plane.enrol("n2", "shop/*")
        await plane.report(two, FAR)
        thief = mesh.workload("far-1", "far", address="10.6.6.6")
        (problem,) = (await plane.report(one, thief)).problems
        assert problem.path == "metadata.name"
        known = plane.refresh.snapshot.workloads[WorkloadName("shop", "far-1")]
        assert (known.spec.node, known.spec.address) == ("n2", "10.0.0.1")

    async def test_does_not_write_over_what_another_node_wrote_a_moment_ago(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        await plane.store.write([Put(FAR.ref, encode_json(FAR))])
        assert FAR.ref not in plane.refresh.snapshot.objects
        with pytest.raises(Conflict):
            await plane.store.write(changes(plane.refresh.snapshot, "n1", [mesh.workload("far-1", "far")]))
        (problem,) = (await plane.report(node, mesh.workload("far-1", "far"))).problems
        assert problem.path == "metadata.name"

    @pytest.mark.parametrize(
        ("rule", "workload", "allowed"),
        [
            ("shop/web", WEB, True),
            ("shop/*", WEB, True),
            ("*/*", WEB, True),
            ("shop/cart", WEB, False),
            ("bank/*", WEB, False),
            ("shop/web", mesh.workload("web-1", "web", account="admin"), False),
            ("shop/web", mesh.workload("web-1", "web", namespace="bank"), False),
        ],
    )
    async def test_takes_the_accounts_that_the_nodes_token_allows(
        self, plane: Plane, rule: str, workload: Workload, allowed: bool
    ):
        node = await plane.enrol("n1", rule)
        problems = (await plane.report(node, workload)).problems
        assert [p.path for p in problems] == ([] if allowed else ["spec.serviceAccount"])
        assert bool(plane.refresh.snapshot.workloads) is allowed

    async def test_takes_nothing_from_a_node_that_is_not_enrolled(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        await plane.report(node, WEB)
        await plane.book.remove_node("n1")
        assert len((await plane.report(node, WEB)).problems) == 1
        assert plane.refresh.snapshot.workloads == {}

    async def test_refuses_a_workload_that_breaks_the_rules(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        crooked = mesh.workload("web-1", "web", address="not-an-address")
        assert [p.path for p in (await plane.report(node, crooked, CART)).problems] == ["spec.address"]
        assert set(plane.refresh.snapshot.workloads) == {WorkloadName("shop", "cart-1")}

    @pytest.mark.parametrize(
        "error", [StoreUnavailable("the disk is full"), Conflict(WEB.ref, 0, 7), NotFound(WEB.ref)]
    )
    async def test_is_to_be_tried_again_where_the_store_does_not_take_it(self, plane: Plane, error: StoreError):
        """What changed meanwhile is known when the node reports again."""
        node = await plane.enrol("n1", "shop/*")
        reports = Reports(Refusing(error), plane.refresh, plane.issuer)
        with pytest.raises(Unavailable, match=str(error)):
            await reports.take(node, ReportRequest("n1", (WEB,)))

    async def test_writes_nothing_where_nothing_has_changed(self, plane: Plane):
        node = await plane.enrol("n1", "shop/*")
        await plane.report(node, WEB)
        revision = (await plane.store.list()).revision
        await plane.report(node, WEB)
        assert (await plane.store.list()).revision == revision
