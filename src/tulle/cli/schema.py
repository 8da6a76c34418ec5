"""`tulle schema`: the JSON Schema of a kind, for editors and other tools."""

from typing import Annotated

import typer

from tulle.cli.kinds import kind_meant
from tulle.cli.output import print_json, table
from tulle.model.kinds import KINDS
from tulle.model.schema import json_schema

app = typer.Typer(add_completion=False)


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="A kind; without it, all are listed.", show_default=False)] = "",
) -> None:
    """Print the JSON Schema of a kind, or the kinds.

    \b
    Examples:
      tulle schema
      tulle schema httproute > httproute.schema.json
    """
    if kind:
        print_json(json_schema(kind_meant(kind).name))
        return
    rows = [(k.name, k.plural, ",".join(k.short), k.api_version, str(k.namespaced).lower()) for k in KINDS]
    table(("KIND", "PLURAL", "SHORT", "API-VERSION", "NAMESPACED"), rows)
