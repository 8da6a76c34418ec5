"""The tree of what ends a command: `Failure`, with the exit code that scripts see.

Wrong arguments are `typer.BadParameter`, exit code 2.
"""

OK = 0
FAILED = 1
UNREACHABLE = 3


class Failure(Exception):
    """The command cannot do what it was asked. `hint` says what to do about it."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(Failure):
    """The control plane does not answer."""

    exit_code = UNREACHABLE
