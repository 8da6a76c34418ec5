"""Shows what was measured: tables for people, on the terminal and in a file, and which targets were met."""

from collections.abc import Sequence

from msgspec import Struct
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.machine import Machine
from benchmarks.statistics import Estimate
from benchmarks.targets import Target, text


class Table(Struct, frozen=True):
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Report(Struct, frozen=True):
    """`name` is that of its files, `said` what a reader has to know to understand the tables."""

    name: str
    title: str
    said: tuple[str, ...]
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]


def markdown(report: Report, machine: Machine) -> str:
    parts = [f"# {report.title}", machine.sentence() + ".", *report.said, f"![{report.title}]({report.name}.svg)"]
    for table in report.tables:
        parts += [f"## {table.caption}", _grid(table.headers, table.rows)]
    rows = [(t.what, text(t.measured, t.unit), text(t.limit, t.unit), t.verdict) for t in report.targets]
    parts += ["## Targets", _grid(("figure", "measured", "at most", ""), rows)]
    parts.append(f"All blocks, nothing dropped: [{report.name}.json]({report.name}.json).")
    return "\n\n".join(parts) + "\n"


def show(report: Report, console: Console) -> None:
    for table in report.tables:
        _show(console, table.caption, table.headers, table.rows)
    rows = [(t.what, text(t.measured, t.unit), text(t.limit, t.unit), t.verdict) for t in report.targets]
    _show(console, "Targets", ("figure", "measured", "at most", ""), rows)


def with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}..{estimate.high:.2f}]"


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _show(console: Console, caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = RichTable(title=caption, title_justify="left")
    for number, header in enumerate(headers):
        table.add_column(header, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        style = {"missed": "red", "met": "green"}.get(row[-1], "")
        table.add_row(*row, style=style)
    console.print(table)
