"""CPU and latency of a request on every arm, block by block in random order within each round."""

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from benchmarks import counters
from benchmarks.dataplane.testbed import Arm
from benchmarks.statistics import median

CONNECTIONS = (32, 1)
_OPEN_LOOP_CONNECTIONS = 32
_HIGHEST_RATE = 1_000.0
_SHARE_OF_SATURATION = 0.5


class Block(Struct, frozen=True):
    """`cpu` and `busy` are microseconds per request: of the proxies on the way, and of the whole machine."""

    round: int
    arm: str
    connections: int
    requests: int
    per_second: float
    cpu: float
    busy: float


class Latencies(Struct, frozen=True):
    """In microseconds from when each request was due."""

    round: int
    arm: str
    rate: float
    values: list[int]
    busy: float


class Plan(Struct, frozen=True):
    """Times in seconds."""

    rounds: int
    seconds: int
    latency_rounds: int
    latency_seconds: float


def steps(plan: Plan, arms: int) -> int:
    return plan.rounds * arms * len(CONNECTIONS) + plan.latency_rounds * arms


def cost(arms: Sequence[Arm], plan: Plan, advance: Callable[[str], None]) -> list[Block]:
    """A warm-up of every arm first, which is not kept; everything after it is."""
    for arm in arms:
        arm.client.saturate(max(CONNECTIONS), 1)
    blocks = []
    for number in range(plan.rounds):
        order = [(arm, connections) for arm in arms for connections in CONNECTIONS]
        random.shuffle(order)
        for arm, connections in order:
            advance(f"CPU of a request: {arm.name}, {connections} connections")
            blocks.append(_block(number, arm, connections, plan.seconds))
    return blocks


def _block(number: int, arm: Arm, connections: int, seconds: int) -> Block:
    cpu, busy = counters.cpu_seconds(arm.proxies), counters.busy()
    counted = arm.client.saturate(connections, seconds)
    after = counters.busy()
    spent = counters.cpu_seconds(arm.proxies) - cpu
    worked = (after.working - busy.working) / counters.TICKS
    return Block(
        number,
        arm.name,
        connections,
        counted.requests,
        counted.per_second,
        spent / counted.requests * 1e6,
        worked / counted.requests * 1e6,
    )


def rate_for(blocks: Sequence[Block]) -> float:
    """At most half of what the slowest arm can do, so that latency is that of the way and not of a queue."""
    saturation = {
        arm: median([b.per_second for b in blocks if b.arm == arm and b.connections == max(CONNECTIONS)])
        for arm in {b.arm for b in blocks}
    }
    return min(_HIGHEST_RATE, _SHARE_OF_SATURATION * min(saturation.values()))


def latency(arms: Sequence[Arm], plan: Plan, rate: float, advance: Callable[[str], None]) -> list[Latencies]:
    measured = []
    for number in range(plan.latency_rounds):
        for arm in random.sample(arms, len(arms)):
            advance(f"latency at {rate:.0f}/s: {arm.name}")
            before = counters.busy()
            values = arm.client.latencies(rate, plan.latency_seconds, _OPEN_LOOP_CONNECTIONS)
            measured.append(Latencies(number, arm.name, rate, values, counters.busy().since(before)))
    return measured
