"""The options that several commands share, spelled once."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):([0-9]{1,5})")


def check_address(text: str, option: str) -> None:
    """Checks what an option takes as HOST:PORT, if it is given. Raises BadParameter."""
    match = _ADDRESS.fullmatch(text)
    if text and (match is None or int(match.group(1)) > 65535):
        message = f"{text!r}: write HOST:PORT, such as 10.0.0.1:15012 or '[2001:db8::1]:15012'"
        raise typer.BadParameter(message, param_hint=option)


class Format(StrEnum):
    table = "table"
    wide = "wide"
    yaml = "yaml"
    json = "json"
    name = "name"


class DryRun(StrEnum):
    none = "none"
    client = "client"
    server = "server"


class ProxyMode(StrEnum):
    sidecar = "sidecar"
    node = "node"


Namespace: TypeAlias = Annotated[
    str, typer.Option("--namespace", "-n", envvar="TULLE_NAMESPACE", help="The namespace to work in.")
]
AllNamespaces: TypeAlias = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
Selector: TypeAlias = Annotated[
    str, typer.Option("--selector", "-l", metavar="LABELS", help="Only with these labels: app=web,version!=v1,beta.")
]
Output: TypeAlias = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]
_FILES = typer.Option(
    "--filename", "-f", metavar="FILE|DIR|-", help="A file, a directory with all below it, or - for stdin. Repeat."
)
Files: TypeAlias = Annotated[list[str], _FILES]
OptionalFiles: TypeAlias = Annotated[list[str] | None, _FILES]
Dry: TypeAlias = Annotated[
    DryRun, typer.Option("--dry-run", help="Change nothing: check here (client), or there too (server).")
]

CONNECTION = "Control plane"
Server: TypeAlias = Annotated[
    str,
    typer.Option(
        "--server", envvar="TULLE_SERVER", metavar="URL", rich_help_panel=CONNECTION,
        help="The control plane, as https://host:port. Without it: the socket of this host.",
    ),
]  # fmt: skip
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="TULLE_TOKEN_FILE", metavar="FILE", rich_help_panel=CONNECTION,
        help="The file that holds your token.",
    ),
]  # fmt: skip
CaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", envvar="TULLE_CA_FILE", metavar="FILE", rich_help_panel=CONNECTION,
        help="The certificates that the control plane is verified with.",
    ),
]  # fmt: skip
