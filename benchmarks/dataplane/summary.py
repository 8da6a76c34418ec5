"""Makes the report of a data plane run out of its blocks."""

from collections.abc import Sequence

from benchmarks.counters import Memory
from benchmarks.dataplane.requests import CONNECTIONS, Block, Latencies
from benchmarks.dataplane.suite import DataPlane
from benchmarks.dataplane.testbed import ARMS, DIRECT, ENVOY, NODE, SIDECAR
from benchmarks.report import Report, Table, with_interval
from benchmarks.statistics import Estimate, estimate, median, percentile, ratios
from benchmarks.targets import Target, text

MEGABYTE = 1e6
_SHARES = (0.5, 0.9, 0.99)
_SAID = (
    "Every arm carries the same requests from one client to the same application, an Envoy that answers 100 bytes by "
    "itself. `envoy` is a pair that parses HTTP on both sides with mutual TLS between, as the sidecars of other meshes "
    "do, with nothing added and no capture of traffic; `envoy, TCP in` is the same but for its server, which passes "
    "bytes on. The arms of Tulle run as `tulle up` runs them, captured and confined: HTTP is parsed at the client "
    "only. What they take beyond `envoy, TCP in` is Tulle's own.",
    "Blocks of all arms alternate in random order. CPU is that of the proxies on the way, by the kernel's count; "
    "ratios are taken within a round, medians over rounds, with 95 % intervals. The whole machine's time per request "
    "(client, application and everything else that runs) stands beside it.",
    "Latency is measured by a client that sends at a fixed rate and counts from the moment each request was due; "
    "`added` is the median over rounds of the difference to `direct` in the same round.",
)


def report(measured: DataPlane) -> Report:
    return Report(
        "dataplane",
        "What a request through the mesh costs",
        _SAID,
        (_cost(measured.blocks), _latency(measured.latencies), _memory(measured)),
        targets(measured),
    )


def targets(measured: DataPlane) -> tuple[Target, ...]:
    found = [
        Target(
            f"sidecar path, CPU per request against Envoy with HTTP on both sides, {connections} connections",
            ratio(measured.blocks, SIDECAR, ENVOY, connections).value,
            0.7,
        )
        for connections in CONNECTIONS
    ]
    found += [
        Target(
            f"node path, CPU per request against the sidecar path, {connections} connections",
            ratio(measured.blocks, NODE, SIDECAR, connections).value,
            1.0,
        )
        for connections in CONNECTIONS
    ]
    slope = (measured.slope.after.private - measured.slope.before.private) / measured.slope.workloads
    found.append(Target("memory of a node proxy for each further workload", slope / MEGABYTE, 2, "MB"))
    small, large = (s.after.private - s.before.private for s in measured.scoped)
    found.append(
        Target(
            "memory for 10,000 services of which ten are called, against ten services",
            (large - small) / MEGABYTE,
            1,
            "MB",
        )
    )
    return tuple(found)


def ratio(blocks: Sequence[Block], arm: str, base: str, connections: int) -> Estimate:
    def by_round(name: str) -> dict[int, float]:
        return {b.round: b.cpu for b in blocks if b.arm == name and b.connections == connections}

    return estimate(ratios(by_round(arm), by_round(base)))


def _cost(blocks: Sequence[Block]) -> Table:
    rows = []
    for connections in CONNECTIONS:
        for arm in ARMS:
            chosen = [b for b in blocks if b.arm == arm and b.connections == connections]
            against = "" if arm == DIRECT else with_interval(ratio(blocks, arm, ENVOY, connections))
            cpu = "" if arm == DIRECT else text(median([b.cpu for b in chosen]), "µs")
            rows.append(
                (
                    arm,
                    str(connections),
                    cpu,
                    against,
                    text(median([b.busy for b in chosen]), "µs"),
                    f"{median([b.per_second for b in chosen]):,.0f}",
                )
            )
    headers = ("arm", "connections", "CPU of the proxies", "against envoy [95 %]", "whole machine", "requests/s")
    return Table("CPU per request", headers, tuple(rows))


def _latency(measured: Sequence[Latencies]) -> Table:
    rows = []
    for arm in ARMS:
        cells = []
        for share in _SHARES:
            own, direct = _by_round(measured, arm, share), _by_round(measured, DIRECT, share)
            shown = text(median(list(own.values())) / 1e3)
            added = median([own[r] - direct[r] for r in own]) / 1e3
            cells.append(shown if arm == DIRECT else f"{shown} (+{added:.2f})")
        busy = median([m.busy for m in measured if m.arm == arm])
        rows.append((arm, *cells, f"{busy:.0%}"))
    headers = ("arm", "p50, ms (added)", "p90", "p99", "machine busy")
    return Table(f"Latency at {measured[0].rate:.0f} requests/s", headers, tuple(rows))


def _by_round(measured: Sequence[Latencies], arm: str, share: float) -> dict[int, float]:
    return {m.round: percentile(m.values, share) for m in measured if m.arm == arm}


def _memory(measured: DataPlane) -> Table:
    def row(what: str, memory: Memory, note: str = "") -> tuple[str, ...]:
        cells = (memory.pss, memory.private, memory.resident)
        return (what, *(text(value / MEGABYTE) for value in cells), note)

    idle, slope = measured.idle, measured.slope
    rows = [
        row("idle sidecar", idle.sidecar, f"{idle.sidecar_cpu:.1f} ms of CPU per second"),
        row("idle node proxy, two workloads", idle.node, f"{idle.node_cpu:.1f} ms of CPU per second"),
        row(f"node proxy, {slope.workloads} workloads more", slope.after),
    ]
    for scoped in measured.scoped:
        rows.append(row(f"sidecar in a mesh of {scoped.services:,}, before it calls", scoped.before))
        rows.append(row("the same after calling ten services", scoped.after))
    return Table("Memory of proxies, MB", ("proxy", "PSS", "private", "resident", ""), tuple(rows))
