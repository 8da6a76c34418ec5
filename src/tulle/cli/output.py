"""Prints: data to stdout, messages to stderr, colours only where a person looks and NO_COLOR is not set."""

import json
from collections.abc import Sequence

import typer
import yaml
from rich.console import Console
from rich.text import Text

from tulle.cli.errors import Failure
from tulle.model.problem import Problem

GAP = "   "
STYLES = {
    "Accepted": "green",
    "True": "green",
    "Ready": "green",
    "Synced": "green",
    "Starting": "yellow",
    "Draining": "yellow",
    "Pending": "yellow",
    "Partial": "yellow",
    "Connected": "green",
    "Disconnected": "red",
    "Deleted": "red",
    "False": "red",
    "InTime": "green",
    "NotRenewed": "red",
    "NotReady": "red",
    "Rejected": "red",
}


class Output(Console):
    """Leaves it to the command's root what it means that the reader has gone."""

    def on_broken_pipe(self) -> None:
        raise


def say(text: str) -> None:
    typer.echo(_harmless(text))


def warn(text: str) -> None:
    typer.echo(_harmless(text), err=True)


def _harmless(text: str) -> str:
    """The text without what a terminal would obey: much of it was written by others."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Prints columns under headers. Lines are never cut: a pipe gets everything."""
    GrowingTable(headers, rows, indent)


class GrowingTable:
    """A table to which rows may come later, in columns as wide as those that it began with."""

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> None:
        self._widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
        self._indent = indent
        self._console = Output(soft_wrap=True, highlight=False)
        self._console.print(_line(headers, self._widths, indent, bold=True), soft_wrap=True)
        for row in rows:
            self.add(row)

    def add(self, row: Sequence[str]) -> None:
        self._console.print(_line(row, self._widths, self._indent), soft_wrap=True)


def _line(cells: Sequence[str], widths: Sequence[int], indent: str, bold: bool = False) -> Text:
    text = Text(indent)
    for cell, width in zip(map(_harmless, cells), widths, strict=True):
        text.append(cell, style="bold" if bold else STYLES.get(cell, ""))
        text.append(" " * (width - len(cell)) + GAP)
    text.rstrip()
    return text


def heading(title: str) -> None:
    Output(soft_wrap=True, highlight=False).print(Text(title, style="bold"))


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_yaml(value: object) -> None:
    typer.echo(yaml_text(value), nl=False)


def yaml_text(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def print_problems(problems: Sequence[Problem]) -> None:
    """Prints each problem as `file:line: Kind/name: path: message`, with its hint below."""
    for problem in problems:
        where = f"{problem.file}:{problem.line}: " if problem.file else ""
        what = f"{problem.resource}: " if problem.resource else ""
        path = f"{problem.path}: " if problem.path else ""
        warn(f"{where}{what}{path}{problem.message}")
        if problem.hint:
            warn(f"    hint: {problem.hint}")


def print_failure(failure: Failure) -> None:
    print_problems(failure.problems)
    warn(f"error: {failure}")
    if failure.hint:
        warn(f"hint: {failure.hint}")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
