"""`tulle completion`: the script that makes a shell complete commands and options."""

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from tulle.cli.app import COMPLETE
from tulle.cli.output import say

app = typer.Typer(add_completion=False)


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(tulle completion bash)
      tulle completion zsh > ~/.zfunc/_tulle
      tulle completion fish > ~/.config/fish/completions/tulle.fish
    """
    say(get_completion_script(prog_name="tulle", complete_var=COMPLETE, shell=shell.value))
