"""`tulle apply`: makes the control plane hold what files declare, all of it or none."""

from collections.abc import Sequence

import msgspec
import typer
from msgspec import Raw
from msgspec.structs import replace

from tulle.api.messages import Applied, ApplyRequest
from tulle.cli import options
from tulle.cli.client import Refused, connect
from tulle.cli.declared import valid_resources
from tulle.cli.errors import Failure
from tulle.cli.options import DryRun
from tulle.cli.output import say
from tulle.cli.shown import DRY_RUN
from tulle.model.parse import Parsed, encode_json
from tulle.model.problem import Problem

app = typer.Typer(add_completion=False)


@app.command()
def apply(
    files: options.Files,
    namespace: options.Namespace = "default",
    dry_run: options.Dry = DryRun.none,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Create or change resources from files.

    All are written at once, or none. Where something is wrong, everything that is wrong is said.

    \b
    Examples:
      tulle apply -f examples/01-shop
      tulle apply -f routes.yaml --dry-run=server
      generate | tulle apply -n shop -f -
    """
    declared = valid_resources(files, namespace)
    if not declared:
        raise Failure("there is no resource in these files")
    if dry_run is DryRun.client:
        for each in declared:
            say(f"{_label(each.resource.kind, each.resource.metadata.name)} valid (client dry run)")
        return
    control = connect(server, token_file, ca_file)
    body = msgspec.json.encode(ApplyRequest(tuple(Raw(encode_json(each.resource)) for each in declared)))
    try:
        applied = control.post("/v1/apply", body, Applied, DRY_RUN if dry_run is DryRun.server else None)
    except Refused as refused:
        problems = _located(refused.problems, declared)
        raise Failure(str(refused), refused.hint, problems) from refused
    suffix = " (server dry run)" if dry_run is DryRun.server else ""
    for item in applied.items:
        say(f"{_label(item.kind, item.name)} {item.outcome}{suffix}")


def _label(kind: str, name: str) -> str:
    return f"{kind.lower()}/{name}"


def _located(problems: Sequence[Problem], declared: Sequence[Parsed]) -> tuple[Problem, ...]:
    """The problems with the file and line of the resource that each is about, as far as it is known."""
    places = {str(each.resource.ref): each for each in declared}
    return tuple(
        replace(problem, file=place.file, line=place.line) if (place := places.get(problem.resource)) else problem
        for problem in problems
    )
