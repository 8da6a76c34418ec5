"""The program `tulle`: finds the command and ends with its exit code.

A command's module is imported when it runs, so that `tulle --help` and `tulle exec` start at once.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._completion_classes import completion_init
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tulle.cli.errors import FAILED, Failure, machine_said
from tulle.cli.output import print_failure, warn
from tulle.cli.registry import ENTRIES, Entry

if TYPE_CHECKING:
    from typer._click import Command, Context

HELP_NAMES = {"help_option_names": ["-h", "--help"]}

EXIT_CODES = (
    "Exit codes: 0 done, 1 problems found or refused, 2 wrong arguments, "
    "3 the control plane, or the agent, does not answer."
)
COMPLETE = "_TULLE_COMPLETE"


class LazyCommand(TyperCommand):
    """Stands for a command in the list of commands, and becomes it when it is run."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.name, help=entry.summary, rich_help_panel=entry.section)
        self._entry = entry

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        app: typer.Typer = importlib.import_module(self._entry.module).app
        return with_flowing_help(get_command(app)).make_context(info_name, args, parent, **extra)


def with_flowing_help(command: Command) -> Command:
    """The command, with paragraphs of its help that fit any terminal: one line each, whatever lines the source has.
    Those that \\b marks keep theirs, without the mark, which would be printed."""
    first, *others = (
        text.removeprefix("\b\n") if text.startswith("\b") else text.replace("\n", " ")
        for text in inspect.cleandoc(command.help or "").split("\n\n")
    )
    # The empty line more is for typer, which takes away what all lines of the rest but its first are indented by.
    command.help = "\n\n".join((f"{first}\n" if others else first, *others))
    if isinstance(command, TyperGroup):
        for member in command.commands.values():
            with_flowing_help(member)
    return command


class Commands(TyperGroup):
    """All commands, in the order of the registry."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {entry.name: LazyCommand(entry) for entry in ENTRIES}

    def invoke(self, ctx: Context) -> object:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            print_failure(failure)
            raise typer.Exit(failure.exit_code) from failure
        except BrokenPipeError:
            # The reader of `tulle get | head` has seen enough; the interpreter must not flush into it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            # Such as a full disk under `tulle get > file`: nothing that a traceback would explain.
            warn(f"error: {machine_said(error)}")
            raise typer.Exit(FAILED) from error


app = typer.Typer(
    name="tulle",
    cls=Commands,
    help="Tulle, a service mesh.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)


def _versions(wanted: bool) -> None:
    if wanted:
        importlib.import_module("tulle.cli.version").version()
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_versions, help="As `version`.")
    ] = False,
) -> None:
    """Tulle, a service mesh."""


def main() -> None:
    if COMPLETE in os.environ:
        completion_init()
    app(prog_name="tulle")
