"""`tulle run`: starts a program as a workload of the mesh."""

import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from tulle.agent.local_messages import Join
from tulle.api.paths import run_paths
from tulle.cli import options
from tulle.cli.errors import Failure
from tulle.cli.exec import enter
from tulle.cli.local import ask_agent

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, last.")],
    name: Annotated[str, typer.Option(help="The workload's name; the program's with a suffix by default.")] = "",
    namespace: options.Namespace = "default",
    service_account: Annotated[str, typer.Option(help="Its service account, which is its identity.")] = "default",
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="A label; services select by them.")
    ] = None,
    port: Annotated[list[str] | None, typer.Option(metavar="[NAME=]PORT", help="A port that it listens on.")] = None,
    mode: Annotated[
        options.ProxyMode, typer.Option(metavar="sidecar|node", help="A proxy of its own, or the node's.")
    ] = options.ProxyMode.sidecar,
) -> None:
    """Start a program as a workload of the mesh.

    The program takes the place of this command (same process id, terminal, exit code), so it can be what a systemd
    unit starts. The workload is gone when it ends. An agent has to run on this host.

    \b
    Examples:
      tulle run -n shop --service-account web -l app=web --port http=8080 -- ./web
      tulle run -- curl -s http://catalog.shop:8080/items
    """
    request = Join(
        namespace=namespace,
        name=name or _name_for(command[0]),
        service_account=service_account,
        mode=mode.value,
        ports=tuple(map(_port, port or ())),
        labels=dict(map(_label, label or ())),
    )
    enter(ask_agent(run_paths(os.environ, os.geteuid()).agent_socket, request), command)


def _name_for(program: str) -> str:
    """A name like the program's that no other workload has."""
    known = re.sub("[^a-z0-9]+", "-", Path(program).name.lower()).strip("-")[:50].strip("-")
    return f"{known or 'run'}-{secrets.token_hex(3)}"


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
        raise Failure(f"--port {text}: {number!r} is no port", "write a number from 1 to 65535, or NAME=NUMBER")
    return name, int(number)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Failure(f"--label {text} is no label", "write KEY=VALUE")
    return key, value
