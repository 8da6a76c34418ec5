"""Reads resources from files, and says all that is wrong with them at once."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tulle.cli.errors import Failure
from tulle.cli.files import STDIN_NAME, read_files
from tulle.cli.output import count
from tulle.model.app import App
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef
from tulle.model.parse import Parsed, parse_yaml
from tulle.model.problem import Problem


class Declared(Struct, frozen=True):
    """What files hold: valid resources and the problems of the others, both in the order of the files."""

    parsed: tuple[Parsed, ...]
    problems: tuple[Problem, ...]
    files: int

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(parsed.resource for parsed in self.parsed)


def read_declared(names: Sequence[str], namespace: str) -> Declared:
    """All that `names` (files, directories, -) hold. Raises Failure where a file cannot be read."""
    parsed: dict[ObjectRef, Parsed] = {}
    problems: list[Problem] = []
    files = read_files(names)
    for file in files:
        found, wrong = parse_yaml(file.text, file.name, namespace)
        problems.extend(wrong)
        for each in found:
            first = parsed.setdefault(each.resource.ref, each)
            if first is not each:
                problems.append(_twice(each, first))
    return Declared(tuple(_absolute(each) for each in parsed.values()), tuple(problems), len(files))


def valid_resources(names: Sequence[str], namespace: str) -> tuple[Parsed, ...]:
    """The resources of files without any problem. Raises Failure with the problems where there are some."""
    declared = read_declared(names, namespace)
    if declared.problems:
        message = f"{count(len(declared.problems), 'problem')}; nothing was done"
        raise Failure(message, problems=declared.problems)
    return declared.parsed


def _twice(again: Parsed, first: Parsed) -> Problem:
    message = f"is declared twice, first in {first.file}:{first.line}"
    return Problem("", message, "keep one", again.file, again.line, str(again.resource.ref))


def _absolute(parsed: Parsed) -> Parsed:
    """A relative working directory is meant from the file that says it, which only this process knows."""
    app = parsed.resource
    if not isinstance(app, App) or not app.spec.working_dir:
        return parsed
    directory = Path() if parsed.file == STDIN_NAME else Path(parsed.file).parent
    working_dir = str((directory / app.spec.working_dir).resolve())
    return replace(parsed, resource=replace(app, spec=replace(app.spec, working_dir=working_dir)))
