"""Draws what was measured, to be read at a glance: every round is a dot, the median a bar."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.controlplane.propagation import KINDS
from benchmarks.controlplane.suite import ControlPlane
from benchmarks.controlplane.summary import changes
from benchmarks.dataplane.requests import CONNECTIONS
from benchmarks.dataplane.suite import DataPlane
from benchmarks.dataplane.testbed import ARMS, DIRECT, ENVOY, ENVOY_TCP, NODE, SIDECAR
from benchmarks.statistics import median, percentile

_COLOURS = {DIRECT: "#9aa0a6", ENVOY: "#c77c48", ENVOY_TCP: "#e0b48c", SIDECAR: "#3b6ea8", NODE: "#5aa39a"}
_DARK = "#333333"
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "svg.hashsalt": "tulle",
}
_SHARES = (50, 90, 99)


def dataplane(measured: DataPlane, directory: Path) -> None:
    with pyplot.rc_context(_STYLE):
        _, (cost, latency) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        _cost(cost, measured)
        _latency(latency, measured)
        _save(directory, "dataplane")


def controlplane(measured: ControlPlane, directory: Path) -> None:
    with pyplot.rc_context(_STYLE):
        _, (arrival, compiling) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        _arrival(arrival, measured)
        _compiling(compiling, measured)
        _save(directory, "controlplane")


def _cost(axes: Axes, measured: DataPlane) -> None:
    arms = [arm for arm in ARMS if arm != DIRECT]
    places = []
    for group, connections in enumerate(CONNECTIONS):
        for number, arm in enumerate(arms):
            values = [b.cpu for b in measured.blocks if b.arm == arm and b.connections == connections]
            place = group * (len(arms) + 1) + number
            axes.bar(place, median(values), color=_COLOURS[arm], label=arm if group == 0 else None)
            _dots(axes, place, values)
            axes.annotate(
                f"{median(values):.0f}", (place, 0), (0, 4), textcoords="offset points", ha="center", color="white"
            )
        places.append(
            (group * (len(arms) + 1) + (len(arms) - 1) / 2, f"{connections} connection{'s' * (connections > 1)}")
        )
    axes.set_xticks([p for p, _ in places], [name for _, name in places])
    axes.set_title("CPU of all proxies on the way, µs per request")
    axes.legend(frameon=False)


def _latency(axes: Axes, measured: DataPlane) -> None:
    for number, arm in enumerate(ARMS):
        for group, share in enumerate(_SHARES):
            values = [percentile(m.values, share / 100) / 1e3 for m in measured.latencies if m.arm == arm]
            place = group * (len(ARMS) + 1) + number
            axes.bar(place, median(values), color=_COLOURS[arm], label=arm if group == 0 else None)
            _dots(axes, place, values)
    axes.set_yscale("log")
    middle = (len(ARMS) - 1) / 2
    axes.set_xticks([g * (len(ARMS) + 1) + middle for g in range(len(_SHARES))], [f"p{share}" for share in _SHARES])
    axes.set_title(f"Latency at {measured.latencies[0].rate:.0f} requests/s, ms")
    axes.legend(frameon=False)


def _dots(axes: Axes, place: float, values: Sequence[float]) -> None:
    axes.plot([place] * len(values), values, ".", color=_DARK, markersize=3, alpha=0.5)


def _arrival(axes: Axes, measured: ControlPlane) -> None:
    """The largest mesh: which share of the proxies has acknowledged after how long."""
    services = max(p.size.services for p in measured.propagation)
    colours = {
        ("endpoints", False): SIDECAR,
        ("route", False): NODE,
        ("endpoints", True): DIRECT,
        ("route", True): ENVOY,
    }
    shown = [p for p in measured.propagation if p.size.services == services]
    for propagation in shown:
        bare = propagation.server == "bare"
        for kind in KINDS:
            arrivals = sorted(a * 1e3 for c in changes(propagation, kind) for a in c.arrivals)
            label = f"{kind}, {'bare server' if bare else 'tulle server'}"
            colour = _COLOURS[colours[kind, bare]]
            axes.plot(
                arrivals, [100 * (n + 1) / len(arrivals) for n in range(len(arrivals))], color=colour, label=label
            )
    axes.set_xlim(left=0)
    axes.set_xlabel("ms after the write")
    axes.set_title(f"% of {shown[0].size.callers} proxies that have a change, {services:,} services")
    axes.legend(frameon=False)


def _compiling(axes: Axes, measured: ControlPlane) -> None:
    chosen = [c for c in measured.compiling if c.store == "sqlite"]
    services = [c.services for c in chosen]
    for label, values, colour in (
        ("read and index everything", [c.reading for c in chosen], SIDECAR),
        ("compile everything", [c.compiling for c in chosen], ENVOY),
        ("compile one route change", [median(c.route_changes) for c in chosen], NODE),
    ):
        axes.loglog(services, [v * 1e3 for v in values], "o-", color=_COLOURS[colour], label=label)
    axes.set_xlabel("services")
    axes.set_title("Time in the control plane, ms")
    axes.legend(frameon=False)


def _save(directory: Path, name: str) -> None:
    pyplot.savefig(directory / f"{name}.svg", metadata={"Date": None})
    pyplot.savefig(directory / f"{name}.png", dpi=150)
    pyplot.close()
