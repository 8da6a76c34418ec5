"""`tulle node`: which hosts have joined, and how one is taken out again."""

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from tulle.api.backend import NodeState, RemovedNode
from tulle.api.messages import NodeList
from tulle.cli import options
from tulle.cli.client import ControlPlane, Refused, connect
from tulle.cli.columns import NONE, Column
from tulle.cli.errors import FAILED
from tulle.cli.options import Format
from tulle.cli.output import count, print_json, print_yaml, say, warn
from tulle.cli.row import print_rows
from tulle.cli.status import life_used
from tulle.model.rules.names import is_subdomain
from tulle.model.tree import Tree

app = typer.Typer(add_completion=False, help="List the nodes, or take one out.", no_args_is_help=True)


@app.callback()
def node() -> None:
    """List the nodes, or take one out."""


@app.command("list")
def list_nodes(
    output: options.Output = Format.table,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Show the nodes that have joined.

    A node that joined stays in the list, connected or not, until it is removed.

    \b
    Examples:
      tulle node list
      tulle node list -o wide
      tulle node list -o json
    """
    nodes = connect(server, token_file, ca_file).get("/v1/nodes", NodeList).items
    if output in (Format.table, Format.wide):
        _table(nodes, wide=output is Format.wide)
    else:
        _print(nodes, output)


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    ignore_missing: Annotated[bool, typer.Option("--ignore-not-found", help="What is not there is no error.")] = False,
    output: options.Output = Format.table,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Take nodes out of the mesh.

    From now on a node gets no certificate, its connections to the control plane end at once, and its workloads take no
    requests any more. It joins again only with a new token. Stop its agent and move its Apps first, where they are to
    end without a failure: what runs there goes on, and has its certificates until they end.

    \b
    Examples:
      tulle node remove worker-1
      tulle node remove worker-1 worker-2 --ignore-not-found
      tulle node remove worker-1 -o json
    """
    control = connect(server, token_file, ca_file)
    found = {name: _remove(control, name) for name in dict.fromkeys(names)}
    removed = tuple(each for each in found.values() if each is not None)
    if output in (Format.table, Format.wide):
        for each in removed:
            _say_removed(each)
    else:
        _print(removed, output)
    missing = [name for name, each in found.items() if each is None]
    if missing and not ignore_missing:
        for name in missing:
            warn(f"error: node/{name[:100]} does not exist")
        raise typer.Exit(FAILED)


def _remove(control: ControlPlane, name: str) -> RemovedNode | None:
    """None where there is no such node."""
    if not is_subdomain(name):
        return None  # no node has it; as a part of a path it might mean something else
    try:
        return control.remove(f"/v1/nodes/{quote(name, safe='')}", RemovedNode)
    except Refused as refused:
        if refused.status == 404:
            return None
        raise


def _say_removed(removed: RemovedNode) -> None:
    say(f"node/{removed.name} removed ({count(removed.workloads, 'workload')}, {count(removed.streams, 'connection')})")
    if removed.apps:
        warn(f"still to run on {removed.name}, and now nowhere: app {', '.join(removed.apps)}")


def _print(nodes: tuple[NodeState, ...] | tuple[RemovedNode, ...], output: Format) -> None:
    """For programs."""
    tree: Tree = msgspec.json.decode(msgspec.json.encode({"items": nodes}))
    match output:
        case Format.json:
            print_json(tree)
        case Format.yaml:
            print_yaml(tree)
        case _:
            for each in nodes:
                say(f"node/{each.name}")


def _table(nodes: tuple[NodeState, ...], wide: bool) -> None:
    if not nodes:
        warn("no nodes")
        return
    rows = [[cell for cell in _cells(each) if wide or not cell.wide] for each in nodes]
    print_rows(rows)


def _cells(each: NodeState) -> tuple[Column, ...]:
    return (
        Column("NAME", each.name),
        Column("STATE", "Connected" if each.connected else "Disconnected"),
        Column("WORKLOADS", str(each.workloads)),
        Column("PROXIES", str(each.proxies)),
        Column("CERTIFICATE-EXPIRES", each.certificate_expires or NONE),
        Column("LIFE-USED", life_used(each)),
        Column("SERVICE-ACCOUNTS", ",".join(each.service_accounts) or NONE, wide=True),
    )
