"""The tree of what ends a command: `Failure`, with the exit code that scripts see.

Wrong arguments are `typer.BadParameter`, exit code 2.
"""

from tulle.model.problem import Problem

FAILED = 1
UNREACHABLE = 3


def machine_said(error: BaseException) -> str:
    """An error in words, the file that it is about first where it is about one."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror


class Failure(Exception):
    """The command cannot do what it was asked. `hint` says what to do about it, `problems` what is wrong in detail."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.problems = problems


class Unreachable(Failure):
    """The control plane does not answer."""

    exit_code = UNREACHABLE
