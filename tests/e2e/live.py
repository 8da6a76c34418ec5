"""A mesh as its users run it: `tulle` commands as processes of their own, with directories of their own.

Whatever a test does, nothing of it stays: `Installation.close` ends what still runs, and says what was left over by a
mesh that had ended by itself.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from tests.e2e.ordinary_user import NOBODY, python_as

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]

LIMIT = 30.0
"""Seconds after which a test has failed rather than that it is still waiting."""

LONGEST = "15m"
"""What a mesh may outlive, should its test be killed."""

ECHO = str(Path(__file__).with_name("echo.py"))
INSIDE = str(Path(__file__).with_name("inside.py"))
SHOP = Path(__file__).parents[2] / "examples" / "01-shop"


class User(Struct, frozen=True):
    """Who runs Tulle: `uid` is this process's own, or another that it can become."""

    name: str
    uid: int

    def tulle(self, directory: Path, *arguments: str) -> list[str]:
        """The command, with the process id that its starter sees."""
        program = str(Path(sys.executable).with_name("tulle"))
        if self.uid == os.geteuid():
            return [program, *arguments]
        return python_as(self.uid, directory, program, *arguments)


ROOT = User("root", 0)
ORDINARY = User("user", NOBODY if os.geteuid() == 0 else os.geteuid())


def until(condition: Callable[[], T], what: str, limit: float = LIMIT, pause: float = 0.1) -> T:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        time.sleep(pause)
    return found


def manifest(*objects: Mapping[str, Any]) -> str:
    """The objects as one file: JSON is YAML."""
    return "\n---\n".join(json.dumps(each, indent=2) for each in objects)


def echo_app(name: str, namespace: str, env: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """An App that runs `echo.py` as `name`: HTTP on 8080, unless `env` says otherwise."""
    variables = {"NAME": name, "HTTP_PORT": "8080"} if env is None else {"NAME": name, **env}
    numbers = {key[:-5].lower(): int(value) for key, value in variables.items() if key.endswith("_PORT")}
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "App",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "command": ["python", "-B", ECHO],
            "env": [{"name": key, "value": value} for key, value in variables.items()],
            "ports": [{"name": protocol, "port": port} for protocol, port in numbers.items()],
            "terminationGracePeriodSeconds": 5,
            **spec,
        },
    }


def service(name: str, namespace: str, app: str = "", **ports: int) -> dict[str, Any]:
    """A Service of an App's workloads; `ports` by the name of their protocol, HTTP on 8080 without any."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"app": app or name},
            "ports": [
                {"name": protocol, "port": port, "appProtocol": protocol}
                for protocol, port in (ports or {"http": 8080}).items()
            ],
        },
    }


class Running:
    """A `tulle` command that stays in the foreground. Its output goes to a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: Path, directory: Path) -> None:
        self._output = output
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str) -> None:
        """Waits until the output has `text`."""
        until(lambda: text in self._running().output, f"{text!r} in the output")

    def _running(self) -> "Running":
        assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.output}"
        return self

    def ended(self, limit: float = LIMIT) -> int:
        """The exit code, once it has ended by itself."""
        return self._process.wait(limit)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal; returns the exit code."""
        self._process.send_signal(number)
        return self.ended()

    def kill(self) -> None:
        """Ends it without a chance to clean up."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(LIMIT)


class Reply(Struct, frozen=True):
    """What the API answered; `body` is its JSON."""

    status: int
    body: Any


class Installation:
    """A run and a state directory of a user, the commands that use them, and all that they start."""

    def __init__(self, user: User, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.user = user
        self.directory = directory
        self.run_dir = directory / "run"
        self.state_dir = directory / "state"
        self._extra = dict(environment or {})
        self._foreground: list[Running] = []
        self._clients: list[Client] = []
        self._networks: set[int] = set()
        self._seen: set[tuple[int, int]] = set()
        self._noted = 0.0

    def write(self, name: str, text: str) -> str:
        """Makes a file that the user can read; returns its path."""
        path = self.directory / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    def tulle(self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Done:
        """Runs a command to its end."""
        return subprocess.run(
            self.user.tulle(self.directory, *arguments),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment | dict(environment or {}),
            cwd=self.directory,
            timeout=LIMIT * 2,
            check=False,
        )

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command that has to succeed; returns what it printed."""
        done = self.tulle(*arguments, stdin=stdin)
        assert done.returncode == 0, f"tulle {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, text: str, *options: str) -> str:
        return self.ok("apply", "-f", "-", *options, stdin=textwrap.dedent(text))

    def api(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Asks the control plane itself, without the start of a command."""
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.run_dir / "api.sock"))
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json", **(headers or {})})
            reply = connection.getresponse()
            return Reply(reply.status, json.loads(reply.read() or b"null"))

    def objects(self, plural: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace."""
        found: list[dict[str, Any]] = self.api("GET", f"/v1/namespaces/{namespace}/{plural}").body["items"]
        return found

    def workloads(self, app: str, namespace: str, state: str = "Ready") -> set[str]:
        """The names of an App's workloads in a state."""
        found = (w for w in self.objects("workloads", namespace) if w["spec"].get("app") == app)
        return {w["metadata"]["name"] for w in found if w["spec"].get("state", "Ready") == state}

    def start(self, *arguments: str) -> Running:
        """Starts a command that stays."""
        output = self.directory / f"{len(self._foreground)}-{arguments[0]}.out"
        command = self.user.tulle(self.directory, *arguments)
        running = Running(command, self.environment, output, self.directory)
        self._foreground.append(running)
        return running

    def up(self, *arguments: str) -> Running:
        """Starts `tulle up`; returns when all of its applications are ready."""
        running = self.start("up", *arguments, "--for", LONGEST)
        running.says("ends after")
        return running

    def inside(self, namespace: str, name: str) -> "Client":
        """A client where a workload is."""
        arguments = ("exec", "-n", namespace, name, "--", sys.executable, "-B", INSIDE)
        command = self.user.tulle(self.directory, *arguments)
        client = Client(command, self.environment, self.directory)
        self._clients.append(client)
        return client

    @property
    def log(self) -> str:
        """What `tulle up` has logged."""
        return (self.state_dir / "up.log").read_text()

    def app_log(self, app: str, namespace: str) -> str:
        """What the replicas of an App have written."""
        logs = self.state_dir.glob(f"**/logs/{namespace}~{app}-*.log")
        return "".join(log.read_text() for log in sorted(logs))

    def note(self) -> None:
        """Remembers what runs now, to look for it when it should have ended: processes with their start times."""
        for running in self._foreground:
            for pid in _descendants(running.pid):
                with contextlib.suppress(OSError):
                    self._seen.add((pid, _start_time(pid)))
                    self._networks.add(Path(f"/proc/{pid}/ns/net").stat().st_ino)
        self._networks.discard(Path("/proc/self/ns/net").stat().st_ino)
        self._noted = float(_text(Path("/proc/uptime")).split()[0]) * os.sysconf("SC_CLK_TCK")

    def left(self) -> list[str]:
        """What there still is of all that was noted."""
        found = [f"process {pid}" for pid, started in self._seen if _is_running(pid, started)]
        for table in Path("/proc").glob("[0-9]*/mountinfo"):
            found += [f"mount {line}" for line in _text(table).splitlines() if f"{self.run_dir}/" in line]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                # A younger process is in another's namespace: the number of one that has ended is given away again.
                in_one = (process / "ns/net").stat().st_ino in self._networks
                if in_one and _start_time(int(process.name)) <= self._noted:
                    found.append(f"{process} is in a namespace: {_text(process / 'cmdline').split(chr(0))}")
        found += [f"socket {path}" for path in self.run_dir.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
        if os.geteuid() == 0 and (nft := shutil.which("nft")):
            tables = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, check=True).stdout
            found += [f"rules {line}" for line in tables.splitlines() if line.endswith(" tulle")]
        return found

    def assert_nothing_left(self) -> None:
        """The kernel takes a moment to free what nobody uses any more."""
        deadline = time.monotonic() + 5
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, "\n".join(left)

    def close(self) -> None:
        """Ends all that runs and removes all files."""
        for client in self._clients:
            client.close()
        self.note()
        for running in self._foreground:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                running.stop()
            running.kill()
        # Agents leave applications and proxies running on purpose, broken ones by accident.
        for pid, started in self._seen:
            if _is_running(pid, started):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for line in _text(Path("/proc/self/mountinfo")).splitlines()[::-1]:
            if (mounted := line.split(" ")[4]).startswith(f"{self.run_dir}/"):
                subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What this user's commands have in their environment."""
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "TULLE_RUN_DIR": str(self.run_dir),
            "TULLE_STATE_DIR": str(self.state_dir),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        return environment | self._extra


@contextlib.contextmanager
def installation(user: User) -> Iterator[Installation]:
    """An installation below a short path: those of unix sockets are limited."""
    directory = Path(tempfile.mkdtemp(prefix="tulle-e2e-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(directory, user.uid, user.uid)
    made = Installation(user, directory)
    try:
        yield made
    finally:
        made.close()


class Client:
    """Asks from where a workload is: one process in there, so that a thousand requests cost no thousand starts."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=directory
        )

    def ask(self, **question: Any) -> Any:
        """One question of `inside.py`; an answer {"error": ...} where it could not be answered."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client ended with {self._process.poll()}"
        return json.loads(line)

    def get(self, url: str, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        """{"status", "headers", "body"} of an HTTP request, GET unless `method` says otherwise."""
        return self.ask(kind="http", url=url, headers=dict(headers or {}), **more)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _text(children).split()):
            yield child
            yield from _descendants(child)


def _start_time(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[19])


def _is_running(pid: int, started: int) -> bool:
    text = _text(Path(f"/proc/{pid}/stat"))
    fields = text[text.rindex(")") + 2 :].split() if text else []
    return bool(fields) and fields[0] != "Z" and int(fields[19]) == started


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
