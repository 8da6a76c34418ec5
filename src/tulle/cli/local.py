"""Asks the agent of this host."""

import socket
from pathlib import Path

import msgspec

from tulle.agent.local_messages import ANSWER_WITHIN, Entrance, Failed, Request
from tulle.cli.errors import Failure, Unreachable


def ask_agent(path: Path, request: Request) -> Entrance:
    """What the agent answers. Raises Failure with what it says, Unreachable where there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_WITHIN)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            line = connection.makefile("rb").readline()
    except OSError as error:
        raise Unreachable(
            f"no agent answers at {path}: {error.strerror or error}", "start one with `tulle up` or `tulle agent`"
        ) from error
    try:
        answer = msgspec.json.decode(line, type=Entrance | Failed)
    except msgspec.DecodeError as error:
        raise Failure("the agent gave no answer; its log says why") from error
    if isinstance(answer, Failed):
        raise Failure(answer.message, answer.hint)
    return answer
