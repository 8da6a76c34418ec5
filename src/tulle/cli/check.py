"""`tulle check`: everything that is wrong with files, without a control plane."""

import typer

from tulle.cli import options
from tulle.cli.declared import read_declared
from tulle.cli.errors import FAILED
from tulle.cli.output import count, print_problems, say, warn

app = typer.Typer(add_completion=False)


@app.command()
def check(files: options.Files, namespace: options.Namespace = "default") -> None:
    """Find all problems in files.

    Nothing is asked of a control plane, and nothing is changed.

    \b
    Examples:
      tulle check -f shop.yaml
      tulle check -f examples/01-shop
      generate | tulle check -f -
    """
    declared = read_declared(files, namespace)
    print_problems(declared.problems)
    if declared.problems:
        warn(f"{count(len(declared.problems), 'problem')} in {count(declared.files, 'file')}")
        raise typer.Exit(FAILED)
    say(f"{count(len(declared.parsed), 'resource')} in {count(declared.files, 'file')}, no problem")
