"""Makes the report of a control plane run out of what was measured."""

from collections.abc import Sequence

from benchmarks.controlplane.compiling import Compiling
from benchmarks.controlplane.propagation import KINDS, Change, Kind, Propagation
from benchmarks.controlplane.suite import ControlPlane
from benchmarks.report import Report, Table
from benchmarks.statistics import median, percentile
from benchmarks.targets import Target, text

_SAID = (
    "A mesh is services with two workloads and a route each; a proxy calls ten of them, all of them call one, and that "
    "one changes. The proxies are streams of mutual TLS, ten to a connection as on a node, in another process, which "
    "shares the machine's cores with the control plane. Time runs from just before the write to the HTTP API until a "
    "proxy has handed over its acknowledgement.",
    "`bare` is the floor: a gRPC server with the same TLS that sends bytes it has ready, from a command and not from "
    "an API, to as many streams, in the same run. What a control plane takes beyond it is its own.",
)


def report(measured: ControlPlane) -> Report:
    return Report(
        "controlplane",
        "What a change costs the control plane, and how soon it arrives",
        _SAID,
        (_compiling(measured.compiling), _propagation(measured.propagation), _filling(measured.propagation)),
        targets(measured),
    )


def targets(measured: ControlPlane) -> tuple[Target, ...]:
    largest = max(c.services for c in measured.compiling)
    compiled = [c for c in measured.compiling if c.services == largest]
    found = [
        Target(f"reading and indexing {largest:,} services", max(c.reading for c in compiled), 5, "s"),
        Target(
            f"compiling one route change at {largest:,} services",
            max(median(c.route_changes) for c in compiled) * 1e3,
            5,
            "ms",
        ),
    ]
    for propagation in measured.propagation:
        if propagation.server != "bare" and propagation.size.callers == 500:
            found += _propagation_targets(propagation)
        if propagation.server != "bare" and propagation.size.callers == 1_000:
            found.append(Target(f"memory at {_size(propagation)}", propagation.resident / 1e6, 500, "MB"))
    return tuple(found)


def _propagation_targets(propagation: Propagation) -> list[Target]:
    found = []
    for kind in KINDS:
        arrivals = _arrivals(propagation, kind)
        what = f"{kind} change at {_size(propagation)} ({propagation.server})"
        found.append(Target(f"{what}, p50", percentile(arrivals, 0.5) * 1e3, 50, "ms"))
        found.append(Target(f"{what}, p99", percentile(arrivals, 0.99) * 1e3, 200, "ms"))
    return found


def _size(propagation: Propagation) -> str:
    return f"{propagation.size.services:,} services, {propagation.size.callers:,} proxies"


def changes(propagation: Propagation, kind: Kind) -> list[Change]:
    return [c for c in propagation.changes if c.kind == kind]


def _arrivals(propagation: Propagation, kind: Kind) -> list[float]:
    return [arrival for change in changes(propagation, kind) for arrival in change.arrivals]


def _compiling(measured: Sequence[Compiling]) -> Table:
    rows = tuple(
        (
            f"{c.services:,}",
            c.store,
            text(c.reading, "s"),
            text(c.compiling, "s"),
            f"{c.resources:,}",
            f"{median(c.route_changes) * 1e3:.2f} ms ({max(c.route_changes) * 1e3:.1f})",
            f"{median(c.endpoint_changes) * 1e3:.2f} ms ({max(c.endpoint_changes) * 1e3:.1f})",
            text(c.resident / 1e6, "MB"),
        )
        for c in measured
    )
    headers = (
        *("services", "store", "read and index", "compile all", "resources"),
        *("one route change (longest)", "one endpoint change (longest)", "resident"),
    )
    return Table("Reading and compiling", headers, rows)


def _propagation(measured: Sequence[Propagation]) -> Table:
    rows = []
    for propagation in measured:
        for kind in KINDS:
            chosen = changes(propagation, kind)
            arrivals = _arrivals(propagation, kind)
            lateness = [late for change in chosen for late in change.lateness]
            rows.append(
                (
                    _size(propagation),
                    propagation.server,
                    kind,
                    text(percentile(arrivals, 0.5) * 1e3),
                    text(percentile(arrivals, 0.99) * 1e3),
                    text(median([c.arrivals[-1] for c in chosen]) * 1e3),
                    text(median([c.cpu for c in chosen]), "µs"),
                    f"{median([c.sent for c in chosen]):.0f}",
                    text(percentile(lateness, 0.99) * 1e3) if lateness else "",
                )
            )
    headers = (
        *("mesh", "server", "change", "p50, ms", "p99, ms", "until all have it, ms"),
        *("CPU per proxy", "bytes per proxy", "event loop late, p99, ms"),
    )
    return Table("From a change until the proxies have acknowledged it", headers, tuple(rows))


def _filling(measured: Sequence[Propagation]) -> Table:
    rows = tuple(
        (
            _size(p),
            p.server,
            text(p.filled, "s"),
            text(p.filled_cpu / p.size.callers * 1e6, "µs"),
            text(p.resident / 1e6, "MB"),
        )
        for p in measured
        if p.server != "bare"
    )
    headers = ("mesh", "store", "until all have everything", "CPU per proxy", "resident")
    return Table("All proxies come at once", headers, rows)
