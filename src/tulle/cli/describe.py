"""`tulle describe`: everything that is known of one resource, for people."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from tulle.api.backend import Status
from tulle.cli import options
from tulle.cli.client import connect
from tulle.cli.columns import NONE, age
from tulle.cli.errors import Failure
from tulle.cli.kinds import targets
from tulle.cli.output import heading, say, table, yaml_text
from tulle.cli.overview import overview
from tulle.cli.relations import Relation, relations
from tulle.cli.shown import Shown, fetch
from tulle.model.conditions import Condition
from tulle.model.parse import encode_json
from tulle.model.tree import Tree

app = typer.Typer(add_completion=False)


@app.command()
def describe(
    what: Annotated[list[str], typer.Argument(metavar="KIND NAME... | KIND/NAME...")],
    namespace: options.Namespace = "default",
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Show one resource, its conditions and where it applies.

    \b
    Examples:
      tulle describe httproute catalog -n shop
      tulle describe service/web app/web -n shop
    """
    wanted = targets(what)
    if not all(target.name for target in wanted):
        raise Failure("describe which?", "write KIND NAME, or KIND/NAME")
    control = connect(server, token_file, ca_file)
    described = [shown for target in wanted for shown in fetch(control, target, namespace)]
    state = overview(control)
    for index, shown in enumerate(described):
        if index:
            say("\n---\n")
        _head(shown)
        _spec(shown)
        _conditions(shown.status)
        for relation in relations(state, shown.resource):
            _relation(relation)


def _head(shown: Shown) -> None:
    resource, metadata = shown.resource, shown.resource.metadata
    lines = [
        ("Name", metadata.name),
        ("Namespace", metadata.namespace),
        ("Kind", f"{resource.kind} ({resource.API_VERSION})"),
        ("Labels", ", ".join(f"{key}={value}" for key, value in sorted(metadata.labels.items()))),
        ("Annotations", ", ".join(f"{key}={value}" for key, value in sorted(metadata.annotations.items()))),
        ("Age", age(metadata.creation_timestamp, datetime.now(UTC))),
        ("Revision", metadata.resource_version),
        ("Generation", str(metadata.generation or "")),
    ]
    for name, value in lines:
        if value:
            say(f"{name + ':':<14}{value}")


def _spec(shown: Shown) -> None:
    tree: Tree = msgspec.json.decode(encode_json(shown.resource))
    spec = tree.get("spec") if isinstance(tree, dict) else None
    if spec:
        heading("Spec")
        say("\n".join(f"  {line}" for line in yaml_text(spec).splitlines()))


def _conditions(status: Status) -> None:
    rows = [_condition(NONE, condition) for condition in status.conditions]
    for parent in status.parents:
        about = f"{parent.parent_ref.kind.lower()}/{parent.parent_ref.name}"
        rows += [_condition(about, condition) for condition in parent.conditions]
    _relation(Relation("Conditions", ("ABOUT", "TYPE", "STATUS", "REASON", "MESSAGE"), tuple(rows)))


def _condition(about: str, condition: Condition) -> tuple[str, ...]:
    return (about, condition.type, condition.status, condition.reason, condition.message or NONE)


def _relation(relation: Relation) -> None:
    heading(relation.title)
    if relation.rows:
        table(relation.headers, relation.rows, indent="  ")
    else:
        say("  none")
