"""Puts load on an arm and counts what came back: `wrk` for as much as goes, the open-loop client for latency."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import Popen

from msgspec import Struct

from benchmarks.child import Failed, running

_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_ERRORS = ("Non-2xx", "Socket errors")
_INSIDE = Path(__file__).with_name("inside.py")
_OPEN_LOOP = Path(__file__).with_name("open_loop.py")


class Counted(Struct, frozen=True):
    requests: int
    per_second: float


class Client:
    """Where a client of some arm is, and whom it calls."""

    def __init__(self, process: "Popen[str]", host: str, port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self._host = host
        self._port = port

    def saturate(self, connections: int, seconds: int) -> Counted:
        """Requests one after the other on each connection."""
        url = f"http://{self._host}:{self._port}/"
        return read_wrk(self.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]))

    def latencies(self, rate: float, seconds: float, connections: int) -> list[int]:
        """Of each request, in microseconds from when it was due."""
        command = [sys.executable, "-I", str(_OPEN_LOOP), self._host, str(self._port), f"{self._host}:{self._port}"]
        printed = self.run([*command, f"{rate:g}", f"{seconds:g}", str(connections)])
        return [int(value) for value in json.loads(printed)]

    def run(self, command: Sequence[str]) -> str:
        """What a command prints there. Raises Failed."""
        sent, answers = self._process.stdin, self._process.stdout
        if sent is None or answers is None:
            raise AssertionError("a client talks")
        with contextlib.suppress(BrokenPipeError):
            sent.write(json.dumps(list(command)) + "\n")
            sent.flush()
        line = answers.readline()
        code, output = json.loads(line) if line else (1, f"its client ended: {self._log.read_text()[-2000:]}")
        if code != 0:
            raise Failed(f"{' '.join(command)} failed:\n{output}")
        return str(output)


@contextlib.contextmanager
def client(enter: Sequence[str], host: str, port: int, log: Path) -> Iterator[Client]:
    """`enter` is what goes before a command so that it runs where the client is."""
    with running([*enter, sys.executable, "-I", str(_INSIDE)], log, talks=True) as process:
        yield Client(process, host, port, log)


def read_wrk(printed: str) -> Counted:
    """Reads what wrk prints. Raises Failed where any request failed."""
    requests, rate = _REQUESTS.search(printed), _RATE.search(printed)
    if requests is None or rate is None or any(error in printed for error in _ERRORS):
        raise Failed(f"wrk had errors:\n{printed}")
    return Counted(int(requests[1]), float(rate[1]))
