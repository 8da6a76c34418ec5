"""Measures everything about the control plane in one run."""

import subprocess
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.child import ROOT, Failed, module
from benchmarks.controlplane.compiling import Compiling
from benchmarks.controlplane.propagation import KINDS, Propagation, measure, measure_bare
from benchmarks.controlplane.resources import Size
from benchmarks.progress import Advance
from benchmarks.statistics import median

STORES = ("memory", "sqlite")
_COMPILING_LIMIT = 300.0


class Plan(Struct, frozen=True):
    """`meshes` by store: which sizes propagation is measured at; the bare server is measured next to each."""

    compiled: tuple[int, ...]
    meshes: tuple[tuple[str, Size], ...]
    repeats: int


FULL = Plan(
    compiled=(100, 1_000, 10_000),
    meshes=(
        ("memory", Size(100, 100)),
        ("memory", Size(1_000, 500)),
        ("sqlite", Size(1_000, 500)),
        ("sqlite", Size(1_000, 1_000)),
        ("sqlite", Size(10_000, 500)),
    ),
    repeats=20,
)
QUICK = Plan(compiled=(100, 1_000), meshes=(("sqlite", Size(100, 100)), ("sqlite", Size(1_000, 500))), repeats=5)


class ControlPlane(Struct, frozen=True):
    """Everything as it was measured."""

    compiling: list[Compiling]
    propagation: list[Propagation]


def steps(plan: Plan) -> int:
    return len(plan.compiled) * len(STORES) + len(plan.meshes) * 2 * plan.repeats * len(KINDS)


def run(plan: Plan, advance: Advance) -> ControlPlane:
    compiling = [_compiling(services, store, advance) for services in plan.compiled for store in STORES]
    propagation: list[Propagation] = []
    for store, size in plan.meshes:
        with tempfile.TemporaryDirectory(prefix="tulle-bench-", dir="/tmp") as directory:
            at = Path(directory)
            measured = measure(at, store, size, plan.repeats, advance)
            sent = {kind: round(median([c.sent for c in measured.changes if c.kind == kind])) for kind in KINDS}
            propagation += [measured, measure_bare(at, size, plan.repeats, sent, advance)]
    return ControlPlane(compiling, propagation)


def _compiling(services: int, store: str, advance: Advance) -> Compiling:
    advance(f"compiling {services} services, {store} store")
    with tempfile.TemporaryDirectory(prefix="tulle-bench-", dir="/tmp") as directory:
        url = "memory:" if store == "memory" else f"sqlite:{Path(directory) / 'tulle.db'}"
        command = module("controlplane.compiling", str(services), url)
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=_COMPILING_LIMIT, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr)
    return msgspec.json.decode(done.stdout, type=Compiling)
