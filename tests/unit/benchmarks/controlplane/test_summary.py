"""The report of a control plane run."""

from benchmarks.controlplane import summary
from benchmarks.controlplane.compiling import Compiling
from benchmarks.controlplane.propagation import Change, Propagation
from benchmarks.controlplane.resources import Size
from benchmarks.controlplane.suite import ControlPlane


def compiling(services: int, reading: float) -> Compiling:
    return Compiling(services, "memory", reading, 2.0, 3 * services, [0.001, 0.002, 0.003], [0.001], 10**8)


def propagation(server: str, callers: int, arrival: float) -> Propagation:
    size = Size(1_000, callers)
    changes = [
        Change("endpoints", [arrival] * callers, 100, 300, [0.01]),
        Change("route", [0.01] * callers, 90, 350, []),
    ]
    return Propagation(server, size, 1.0, 1.0, 6 * 10**8, changes)


MEASURED = ControlPlane(
    [compiling(100, 9.0), compiling(1_000, 4.0)],
    [propagation("sqlite", 500, 0.25), propagation("bare", 500, 0.9), propagation("sqlite", 1_000, 0.9)],
)


def test_the_largest_mesh_and_five_hundred_proxies_decide() -> None:
    found = {target.what: (target.measured, target.verdict) for target in summary.targets(MEASURED)}
    assert found == {
        "reading and indexing 1,000 services": (4.0, "met"),
        "compiling one route change at 1,000 services": (2.0, "met"),
        "endpoints change at 1,000 services, 500 proxies (sqlite), p50": (250, "missed"),
        "endpoints change at 1,000 services, 500 proxies (sqlite), p99": (250, "missed"),
        "route change at 1,000 services, 500 proxies (sqlite), p50": (10, "met"),
        "route change at 1,000 services, 500 proxies (sqlite), p99": (10, "met"),
        "memory at 1,000 services, 1,000 proxies": (600, "missed"),
    }


def test_every_change_has_its_row() -> None:
    _, changes, filling = summary.report(MEASURED).tables
    assert [row[1:3] for row in changes.rows] == [
        (server, kind) for server in ("sqlite", "bare", "sqlite") for kind in ("endpoints", "route")
    ]
    assert len(filling.rows) == 2
