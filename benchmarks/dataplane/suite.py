"""Measures everything about the data plane in one run."""

from msgspec import Struct

from benchmarks.dataplane import memory, requests, testbed
from benchmarks.progress import Advance

SMALL, LARGE = 10, 10_000


class Plan(Struct, frozen=True):
    requests: requests.Plan
    workloads: int


FULL = Plan(requests.Plan(rounds=16, seconds=2, latency_rounds=6, latency_seconds=4), workloads=20)
QUICK = Plan(requests.Plan(rounds=4, seconds=1, latency_rounds=2, latency_seconds=2), workloads=10)


class DataPlane(Struct, frozen=True):
    """Everything as it was measured."""

    blocks: list[requests.Block]
    latencies: list[requests.Latencies]
    idle: memory.Idle
    slope: memory.Slope
    scoped: list[memory.Scoped]


def steps(plan: Plan) -> int:
    return requests.steps(plan.requests, len(testbed.ARMS)) + 5


def run(plan: Plan, advance: Advance) -> DataPlane:
    advance("starting all arms")
    with testbed.directory() as at, testbed.arms(at) as (arms, mesh):
        advance("memory: idle proxies")
        idle = memory.idle(mesh)
        blocks = requests.cost(arms, plan.requests, advance)
        latencies = requests.latency(arms, plan.requests, requests.rate_for(blocks), advance)
        advance(f"memory: {plan.workloads} further workloads")
        slope = memory.slope(at, mesh, plan.workloads)
    scoped = [memory.scoped(services, advance) for services in (SMALL, LARGE)]
    return DataPlane(blocks, latencies, idle, slope, scoped)
