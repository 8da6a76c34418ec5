"""Runs the benchmarks: `python -m benchmarks`, or `make bench`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

import benchmarks.controlplane.suite as control
import benchmarks.controlplane.summary as control_summary
import benchmarks.dataplane.suite as data
import benchmarks.dataplane.summary as data_summary
from benchmarks import machine, plots, progress, report
from benchmarks.child import Failed

RESULTS = Path(__file__).parent / "results"
DATAPLANE, CONTROLPLANE = "dataplane", "controlplane"
NAMES = (DATAPLANE, CONTROLPLANE)
_WIDTH = 160


class Raw(Struct, frozen=True):
    """What is kept of a run."""

    machine: machine.Machine
    measured: Struct


def main() -> int:
    """0 whether targets are met or not, 1 where something could not be measured."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    directory = arguments.output or (RESULTS / "quick" if arguments.quick else RESULTS)
    directory.mkdir(parents=True, exist_ok=True)
    described = machine.describe()
    console.print(described.sentence())
    runs: dict[str, Callable[[], None]] = {
        DATAPLANE: lambda: _dataplane(arguments.quick, described, directory, console),
        CONTROLPLANE: lambda: _controlplane(arguments.quick, described, directory, console),
    }
    try:
        for name in arguments.only or NAMES:
            runs[name]()
    except Failed as failure:
        console.print(f"not measured: {failure}", style="red", markup=False)
        return 1
    console.print(f"tables, plots and all blocks are in {directory}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the mesh costs.")
    parser.add_argument("--quick", action="store_true", help="under three minutes, with wider intervals")
    parser.add_argument("--only", choices=NAMES, action="append", help="one of the two; may be given twice")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="where to write instead of benchmarks/results")
    return parser.parse_args()


def _dataplane(quick: bool, described: machine.Machine, directory: Path, console: Console) -> None:
    plan = data.QUICK if quick else data.FULL
    with progress.bar(console, "data plane", data.steps(plan)) as advance:
        measured = data.run(plan, advance)
    _write(directory, DATAPLANE, Raw(described, measured))
    plots.dataplane(measured, directory)
    _report(data_summary.report(measured), described, directory, console)


def _controlplane(quick: bool, described: machine.Machine, directory: Path, console: Console) -> None:
    plan = control.QUICK if quick else control.FULL
    with progress.bar(console, "control plane", control.steps(plan)) as advance:
        measured = control.run(plan, advance)
    _write(directory, CONTROLPLANE, Raw(described, measured))
    plots.controlplane(measured, directory)
    _report(control_summary.report(measured), described, directory, console)


def _write(directory: Path, name: str, raw: Raw) -> None:
    (directory / f"{name}.json").write_bytes(msgspec.json.encode(raw))


def _report(made: report.Report, described: machine.Machine, directory: Path, console: Console) -> None:
    (directory / f"{made.name}.md").write_text(report.markdown(made, described))
    report.show(made, console)


if __name__ == "__main__":
    sys.exit(main())
