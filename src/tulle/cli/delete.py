"""`tulle delete`: removes resources, by name or by the files that declare them."""

from typing import Annotated

import typer
from msgspec import Struct

from tulle.cli import options
from tulle.cli.client import ControlPlane, Refused, connect
from tulle.cli.declared import valid_resources
from tulle.cli.errors import FAILED, Failure
from tulle.cli.kinds import targets
from tulle.cli.options import DryRun
from tulle.cli.output import say, warn
from tulle.cli.shown import DRY_RUN, fetch, path_of
from tulle.model.kinds import Kind, Resource, kind_named

app = typer.Typer(add_completion=False)


class Doomed(Struct, frozen=True):
    kind: Kind
    namespace: str
    name: str


@app.command()
def delete(
    what: Annotated[list[str] | None, typer.Argument(metavar="[KIND NAME... | KIND/NAME...]")] = None,
    files: options.OptionalFiles = None,
    namespace: options.Namespace = "default",
    selector: options.Selector = "",
    every: Annotated[bool, typer.Option("--all", help="All objects of KIND in the namespace.")] = False,
    ignore_missing: Annotated[bool, typer.Option("--ignore-not-found", help="What is not there is no error.")] = False,
    dry_run: options.Dry = DryRun.none,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Delete resources by name or from files.

    \b
    Examples:
      tulle delete httproute catalog -n shop
      tulle delete app/pricing service/pricing -n shop
      tulle delete workloads -l app=web -n shop
      tulle delete -f examples/01-shop
    """
    if bool(what) == bool(files):
        raise typer.BadParameter("say either KIND NAME or -f FILE")
    if files:
        # What depends on others goes first: the reverse of the order in which it was declared.
        doomed = [_declared(parsed.resource) for parsed in reversed(valid_resources(files, namespace))]
        control = connect(server, token_file, ca_file)
    else:
        control = connect(server, token_file, ca_file)
        doomed = _named(control, what or [], namespace, selector, every)
    missing = [each for each in doomed if not _delete(control, each, dry_run)]
    if missing and not ignore_missing:
        for each in missing:
            warn(f"error: {each.kind.name.lower()}/{each.name} does not exist")
        raise typer.Exit(FAILED)


def _declared(resource: Resource) -> Doomed:
    kind = kind_named(resource.kind)
    if kind is None:
        raise AssertionError(f"{resource.kind} was parsed and is no kind")
    return Doomed(kind, resource.metadata.namespace, resource.metadata.name)


def _named(control: ControlPlane, what: list[str], namespace: str, selector: str, every: bool) -> list[Doomed]:
    found: list[Doomed] = []
    for target in targets(what):
        if target.name:
            found.append(Doomed(target.kind, namespace, target.name))
        elif every or selector:
            objects = fetch(control, target, namespace, selector)
            found += [Doomed(target.kind, namespace, shown.resource.metadata.name) for shown in objects]
        else:
            raise Failure(f"which {target.kind.plural}?", "name them, select some with -l, or say --all")
    return found


def _delete(control: ControlPlane, doomed: Doomed, dry_run: DryRun) -> bool:
    """Whether there was something to delete. Prints what was done."""
    label = f"{doomed.kind.name.lower()}/{doomed.name}"
    if dry_run is DryRun.client:
        say(f"{label} deleted (client dry run)")
        return True
    server_only = dry_run is DryRun.server
    try:
        control.delete(path_of(doomed.kind, doomed.namespace, doomed.name), DRY_RUN if server_only else None)
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    say(f"{label} deleted (server dry run)" if server_only else f"{label} deleted")
    return True
