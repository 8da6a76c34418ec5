"""The report of a data plane run."""

import pytest
from benchmarks.counters import Memory
from benchmarks.dataplane import requests, summary
from benchmarks.dataplane.memory import Idle, Scoped, Slope
from benchmarks.dataplane.requests import Block, Latencies
from benchmarks.dataplane.suite import DataPlane
from benchmarks.dataplane.testbed import ARMS, DIRECT, ENVOY, ENVOY_TCP, NODE, SIDECAR

COST = {DIRECT: 0.0, ENVOY: 100.0, ENVOY_TCP: 58.0, SIDECAR: 60.0, NODE: 66.0}
DELAY = {DIRECT: 100, ENVOY: 400, ENVOY_TCP: 290, SIDECAR: 300, NODE: 350}


def memory(megabytes: float) -> Memory:
    return Memory(round(megabytes * 1e6), round(megabytes * 1e6), round(megabytes * 1e6))


@pytest.fixture
def measured() -> DataPlane:
    """Each round is slower than the one before, for all arms alike."""
    blocks = [
        Block(number, arm, connections, 1000, 5000 / (number + 1), COST[arm] * (number + 1), 200.0)
        for number in range(3)
        for arm in ARMS
        for connections in requests.CONNECTIONS
    ]
    latencies = [Latencies(number, arm, 1000, [DELAY[arm] + number] * 10, 0.5) for number in range(3) for arm in ARMS]
    return DataPlane(
        blocks,
        latencies,
        Idle(memory(16), memory(17), 1.5, 1.6),
        Slope(10, memory(17), memory(18)),
        [Scoped(10, memory(16), memory(17)), Scoped(10_000, memory(16), memory(17.5))],
    )


def test_what_slows_all_arms_down_leaves_the_ratio(measured: DataPlane) -> None:
    found = summary.ratio(measured.blocks, SIDECAR, ENVOY, 32)
    assert (found.low, found.value, found.high) == pytest.approx((0.6, 0.6, 0.6))


def test_targets(measured: DataPlane) -> None:
    found = [(target.measured, target.verdict) for target in summary.targets(measured)]
    assert found == [
        (pytest.approx(0.6), "met"),
        (pytest.approx(0.6), "met"),
        (pytest.approx(1.1), "missed"),
        (pytest.approx(1.1), "missed"),
        (pytest.approx(0.1), "met"),
        (pytest.approx(0.5), "met"),
    ]


def test_latency_is_what_an_arm_adds_to_direct(measured: DataPlane) -> None:
    _, latency, _ = summary.report(measured).tables
    assert latency.rows[0][:2] == (DIRECT, "0.10")
    assert latency.rows[3][:2] == (SIDECAR, "0.30 (+0.20)")


def test_the_rate_is_half_of_what_the_slowest_arm_can_do() -> None:
    def at(per_second: float) -> list[Block]:
        return [Block(0, arm, 32, 1, per_second * (1 + n), 1, 1) for n, arm in enumerate(ARMS)]

    assert requests.rate_for(at(800)) == 400
    assert requests.rate_for(at(80_000)) == 1_000
