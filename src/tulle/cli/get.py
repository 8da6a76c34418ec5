"""`tulle get`: resources as the control plane has them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from tulle.cli import options
from tulle.cli.client import connect
from tulle.cli.kinds import Target, targets
from tulle.cli.options import Format
from tulle.cli.output import print_json, print_yaml, say, warn
from tulle.cli.row import name_of, print_rows, row
from tulle.cli.shown import Shown, fetch
from tulle.cli.watching import follow, one_kind
from tulle.model.tree import Tree

app = typer.Typer(add_completion=False)


@app.command()
def get(
    what: Annotated[list[str], typer.Argument(metavar="KIND[,KIND] [NAME...] | KIND/NAME...", help="Or `all`.")],
    namespace: options.Namespace = "default",
    all_namespaces: options.AllNamespaces = False,
    selector: options.Selector = "",
    output: options.Output = Format.table,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on with what changes, until Ctrl-C; for one KIND.")
    ] = False,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Show resources as a table, YAML, JSON or names.

    \b
    Examples:
      tulle get services -n shop
      tulle get httproute catalog -n shop -o yaml
      tulle get workloads -A -l app=catalog -o wide
      tulle get svc/web app/web -n shop
      tulle get all -n shop
      tulle get httproutes -n shop -w
    """
    wanted = targets(what)
    if all_namespaces and any(target.name for target in wanted):
        raise typer.BadParameter("a name cannot be looked up in all namespaces", param_hint="--all-namespaces")
    control = connect(server, token_file, ca_file)
    if watch:
        follow(control, one_kind(wanted), "" if all_namespaces else namespace, selector, output)
        return
    found = [(target, fetch(control, target, "" if all_namespaces else namespace, selector)) for target in wanted]
    objects = [shown for _, items in found for shown in items]
    single = len(wanted) == 1 and bool(wanted[0].name)
    match output:
        case Format.json:
            print_json(_document(objects, single))
        case Format.yaml:
            print_yaml(_document(objects, single))
        case Format.name:
            for shown in objects:
                say(name_of(shown.resource))
        case _:
            _tables(found, all_namespaces, wide=output is Format.wide)
            if not objects:
                warn("no resources" if all_namespaces else f"no resources in namespace {namespace}")


def _document(objects: Sequence[Shown], single: bool) -> Tree:
    trees = [shown.tree for shown in objects]
    return trees[0] if single else {"apiVersion": "v1", "kind": "List", "items": trees}


def _tables(found: Sequence[tuple[Target, Sequence[Shown]]], all_namespaces: bool, wide: bool) -> None:
    """One table per kind. With several, names carry their kind."""
    by_kind: dict[str, list[Shown]] = {}
    for target, items in found:
        by_kind.setdefault(target.kind.name, []).extend(items)
    filled = [items for items in by_kind.values() if items]
    now = datetime.now(UTC)
    for index, items in enumerate(filled):
        if index:
            say("")
        print_rows([row(shown, now, all_namespaces, wide, with_kind=len(by_kind) > 1) for shown in items])
