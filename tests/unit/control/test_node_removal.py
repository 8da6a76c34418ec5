import asyncio

from tests.fakes import mesh
from tests.fakes.stream import FakeStream
from tests.unit.control.conftest import Plane

from tulle.api import RemovedNode
from tulle.model.names import AgentId, ProxyId, WorkloadName
from tulle.model.workload import Workload
from tulle.store.protocol import Put

WEB, DB, OTHER = (
    mesh.workload(name, "web", node=node) for name, node in (("web-1", "n1"), ("db-1", "n1"), ("x", "n2"))
)


def connect(plane: Plane, node_id: str) -> FakeStream:
    stream = FakeStream(node_id, f"spiffe://tulle.local/tulle/node/{node_id.split('~')[1]}")
    plane.streams.open(stream)
    return stream


async def workloads(plane: Plane) -> list[str]:
    return [stored.ref.name for stored in (await plane.store.list("Workload")).items]


async def test_a_node_loses_its_rights_its_streams_and_its_workloads(plane: Plane):
    await plane.enrol("n1", "shop/*")
    await plane.enrol("n2", "shop/*")
    await plane.write(WEB, DB, OTHER, mesh.app("web", node="n1"), mesh.app("other", node="n2"))
    ours = [
        connect(plane, str(who)) for who in (AgentId("n1"), ProxyId("n1"), ProxyId("n1", WorkloadName("shop", "web-1")))
    ]
    theirs = connect(plane, "agent~n2")
    assert await plane.backend.remove_node("n1") == RemovedNode("n1", 2, 3, ("shop/web",))
    assert not plane.book.is_enrolled("n1") and plane.book.is_enrolled("n2")
    assert [stream.refusals for stream in ours] == [["node n1 is not enrolled"]] * 3
    assert theirs.refusals == []
    assert await workloads(plane) == ["x"]


async def test_what_there_is_of_a_node_is_removed(plane: Plane):
    await plane.write(WEB)
    assert await plane.backend.remove_node("n1") == RemovedNode("n1", 1, 0)
    await plane.enrol("n1")
    assert await plane.backend.remove_node("n1") == RemovedNode("n1", 0, 0)
    assert await plane.backend.remove_node("n1") is None


async def test_what_cannot_be_read_is_left_alone(plane: Plane):
    await plane.enrol("n1")
    await plane.store.write([Put(WEB.ref, b"{")])
    assert await plane.backend.remove_node("n1") == RemovedNode("n1", 0, 0)
    assert await workloads(plane) == ["web-1"]


async def test_a_report_that_was_on_its_way_brings_nothing_back(plane: Plane):
    node = await plane.enrol("n1", "shop/*")
    reporting = [asyncio.create_task(plane.report(node, _named(number))) for number in range(20)]
    await asyncio.sleep(0)
    await plane.backend.remove_node("n1")
    await asyncio.gather(*reporting, return_exceptions=True)  # some come too late for what they were made from
    assert await workloads(plane) == []
    assert (await plane.report(node, WEB)).problems
    assert await workloads(plane) == []


def _named(number: int) -> Workload:
    return mesh.workload(f"web-{number}", "web", node="n1")
