"""`tulle check`: everything that is wrong with files, without a control plane."""

from collections.abc import Sequence

import typer
from msgspec.structs import replace

from tulle.cli import options
from tulle.cli.declared import read_declared
from tulle.cli.errors import FAILED
from tulle.cli.output import count, print_problems, say, warn
from tulle.cli.references import lost_references
from tulle.cli.unheard_ports import unheard_ports
from tulle.model import snapshot
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.kinds import Resource
from tulle.model.parse import Parsed
from tulle.model.problem import Problem
from tulle.model.service import Service
from tulle.model.snapshot import Snapshot
from tulle.model.tcp_route import TCPRoute
from tulle.model.unserved import unserved

app = typer.Typer(add_completion=False)


@app.command()
def check(files: options.Files, namespace: options.Namespace = "default") -> None:
    """Find all problems in files.

    Nothing is asked of a control plane, and nothing is changed. What a route refers to has to be in the files too.

    \b
    Examples:
      tulle check -f shop.yaml
      tulle check -f examples/01-shop
      generate | tulle check -f -
    """
    declared = read_declared(files, namespace)
    mesh = snapshot.build(each.resource for each in declared.parsed)
    problems = (*declared.problems, *_together(mesh, declared.parsed))
    warnings = _warnings(mesh, declared.parsed)
    print_problems(warnings)
    print_problems(sorted(problems, key=lambda problem: (problem.file, problem.line)))
    if problems:
        warn(f"{count(len(problems), 'problem')} in {count(declared.files, 'file')}")
        raise typer.Exit(FAILED)
    warned = f", {count(len(warnings), 'warning')}" if warnings else ""
    say(f"{count(len(declared.parsed), 'resource')} in {count(declared.files, 'file')}, no problem{warned}")


def _together(mesh: Snapshot, parsed: Sequence[Parsed]) -> tuple[Problem, ...]:
    """What is wrong with resources that are valid, each by itself: what they refer to, and what is not served yet."""
    return tuple(
        _placed(problem, each) for each in parsed for problem in (*unserved(each.resource), *_lost(mesh, each.resource))
    )


def _warnings(mesh: Snapshot, parsed: Sequence[Parsed]) -> tuple[Problem, ...]:
    """What need not be wrong."""
    return tuple(
        _placed(replace(problem, message=f"warning: {problem.message}"), each)
        for each in parsed
        if isinstance(each.resource, Service)
        for problem in unheard_ports(mesh, each.resource)
    )


def _placed(problem: Problem, parsed: Parsed) -> Problem:
    return replace(problem, file=parsed.file, line=parsed.line, resource=str(parsed.resource.ref))


def _lost(mesh: Snapshot, resource: Resource) -> tuple[Problem, ...]:
    if isinstance(resource, HTTPRoute | GRPCRoute | TCPRoute):
        return tuple(lost_references(mesh, resource))
    return ()
