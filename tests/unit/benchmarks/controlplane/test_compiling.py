"""Reading and compiling are measured."""

from benchmarks.controlplane.compiling import measure


async def test_a_small_mesh_is_measured() -> None:
    measured = await measure(3, "memory:")
    assert measured.resources == 9
    assert measured.store == "memory"
    assert len(measured.route_changes) == len(measured.endpoint_changes) > 0
    assert min(measured.reading, measured.compiling, *measured.route_changes, *measured.endpoint_changes) > 0
