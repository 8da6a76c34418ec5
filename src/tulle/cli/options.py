"""The options that several commands share, spelled once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer


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
