"""Tells a person who waits what is being measured and how far it is."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance: TypeAlias = Callable[[str], None]
"""Says that the next step begins, and what it is."""


@contextlib.contextmanager
def bar(console: Console, title: str, steps: int) -> Iterator[Advance]:
    columns = (
        TextColumn(f"{title}:"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=steps)
        begun = 0

        def advance(what: str) -> None:
            nonlocal begun
            progress.update(task, completed=begun, description=what)
            begun += 1

        yield advance
