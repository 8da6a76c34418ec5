"""A whole mesh (`tulle up`) of applications that do what a test tells them, as root or as an ordinary user."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tests.e2e.ordinary_user import NOBODY, python_as

from tulle.agent.capture.namespace import Namespaces, in_namespace
from tulle.agent.pidfd import Process, ProcessIdentity

T = TypeVar("T")

HERE = Path(__file__).parent
LIMIT = 30.0
"""Seconds after which a test has failed rather than that it is still waiting."""

APPS = {"alice": 28100, "bob": 28200, "server": 28300}
"""Each with a service account of its name. From its number on: the ports of its greeter, its echo and its shell."""

DOMAIN = "tulle.local"

# Ordinary users cannot run an interpreter that is in root's home.
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or "python"


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.05)


def _app(name: str, first: int, greeter: int, directory: Path) -> str:
    return f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: shop}}
---
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {{name: {name}, namespace: shop}}
spec:
  command: [{PYTHON}, hostile.py, "{greeter}", "{first + 1}", "{first + 2}"]
  workingDir: {directory}
  serviceAccount: {name}
  labels: {{app: {name}}}
  ports: [{{name: greeter, port: {greeter}}}, {{name: echo, port: {first + 1}}}]
  readinessProbe: {{tcpSocket: {{port: {first + 1}}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}-greeter, namespace: shop}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: tcp, port: 9000, targetPort: greeter, appProtocol: tcp}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 8080, targetPort: echo, appProtocol: http}}]
---
"""


class SecurityMesh:
    """`user` None: as root. Files are below a short directory of their own, for the sockets' paths."""

    def __init__(self, mode: str, user: int | None) -> None:
        self.mode = mode
        self.user = user
        self.directory = Path(tempfile.mkdtemp(prefix="tulle-", dir="/tmp"))
        self.directory.chmod(0o711)  # applications and proxies of other users have their files below
        self.run_dir, self.state_dir = self.directory / "run", self.directory / "state"
        self.output = self.directory / "output"
        # Two meshes of one test session have other ports, so that one cannot be taken for the other.
        self._shift = (mode == "node") * 10 + (user is not None) * 20
        self._process: subprocess.Popen[bytes] | None = None
        self._apps: dict[str, ProcessIdentity] = {}

    def start(self) -> None:
        files = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
        for name, first in APPS.items():
            directory = self.directory / name
            directory.mkdir()
            shutil.copy(HERE / "hostile.py", directory)
            files += _app(name, first + self._shift, self.greeter(name), directory)
        declared = self.directory / "apps.yaml"
        declared.write_text(files)
        self._give_away()
        tulle = str(Path(sys.executable).with_name("tulle"))
        arguments = [tulle, "up", "-f", str(declared), "--mode", self.mode]
        command = [sys.executable, *arguments] if self.user is None else python_as(self.user, Path("/"), *arguments)
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=output, stderr=output, start_new_session=True, umask=0
            )
        until(self._is_ready, "everything is ready")
        self._apps = self._applications()

    def _give_away(self) -> None:
        """Everything is the ordinary user's who starts the mesh. Where root does, applications run as the owners of
        their directories: bob as root, the others as an ordinary user."""
        if self.user is None:
            for name in APPS.keys() - {"bob"}:
                os.chown(self.directory / name, NOBODY, NOBODY)
            return
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, self.user, self.user)

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()
        return b"Ctrl-C stops everything" in self.output.read_bytes()

    @property
    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "TULLE_RUN_DIR": str(self.run_dir),
            "TULLE_STATE_DIR": str(self.state_dir),
            "COLUMNS": "200",
        }

    def stop(self) -> None:
        """As Ctrl-C does; then by force what should not be there."""
        left = [*self._applications().values(), *self.envoys().values()]
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        remains = [held for identity in left if (held := Process.open(identity)) is not None and held.running]
        for held in remains:
            held.send(signal.SIGKILL)
            held.close()
        if (self.run_dir / "ns").exists():
            Namespaces(self.run_dir).sweep()
        shutil.rmtree(self.directory, ignore_errors=True)
        assert remains == []

    def log(self) -> str:
        files = [self.output, *self.state_dir.glob("*.log"), *self.run_dir.glob("proxies/*/log")]
        return "\n".join(f"--- {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files if file.exists())

    # What runs

    @property
    def agent_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def envoys(self) -> dict[str, ProcessIdentity]:
        """By proxy."""
        states = [json.loads(path.read_text()) for path in self.run_dir.glob("proxies/*/process.json")]
        return {state["proxy"]: ProcessIdentity(**state["process"]) for state in states}

    def admin(self, proxy: str, path: str) -> str:
        """Asks the admin interface of an Envoy."""
        for state in self.run_dir.glob("proxies/*/process.json"):
            if json.loads(state.read_text())["proxy"] == proxy:
                transport = httpx.HTTPTransport(uds=str(state.with_name("admin.sock")))
                with httpx.Client(transport=transport, base_url="http://admin", timeout=LIMIT) as client:
                    return client.get(path).text
        raise AssertionError(f"no proxy {proxy}")

    def _applications(self) -> dict[str, ProcessIdentity]:
        records = {path.stem: json.loads(path.read_text()) for path in self.run_dir.glob("apps/*.json")}
        return {
            name.partition("~")[2].rpartition("-")[0]: ProcessIdentity(**r["process"]) for name, r in records.items()
        }

    def pid(self, app: str) -> int:
        return self._apps[app].pid

    def inside(self, app: str, function: Callable[[], T]) -> T:
        """Runs a function in the network namespace of an application; sockets it makes stay in there."""
        return in_namespace(Path(f"/proc/{self.pid(app)}/ns/net"), function)

    def between(self, function: Callable[[], T]) -> T:
        """Runs a function in the network in which proxies speak to each other."""
        envoy = next(iter(self.envoys().values()))
        return in_namespace(Path(f"/proc/{envoy.pid}/ns/net"), function)

    # Applications

    def greeter(self, app: str) -> int:
        return APPS[app] + self._shift

    def ports(self, app: str) -> range:
        """All ports that it listens on."""
        return range(self.greeter(app), self.greeter(app) + 3)

    def run(self, app: str, program: str) -> str:
        """Runs a program in the process of an application; returns what it printed."""
        connection = self.inside(app, lambda: socket.create_connection(("127.0.0.1", self.ports(app)[2]), LIMIT))
        with connection:
            connection.sendall(program.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def app_log(self, app: str) -> str:
        (log,) = self.state_dir.glob(f"up/agent/logs/shop~{app}-*.log")
        return log.read_text()

    # The API

    def api(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.run_dir / "api.sock"))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=LIMIT)

    def get(self, path: str) -> Any:
        with self.api() as api:
            answer = api.get(path)
            answer.raise_for_status()
            return answer.json()

    def apply(self, *resources: Mapping[str, Any]) -> None:
        with self.api() as api:
            answer = api.post("/v1/apply", json={"items": resources})
            assert answer.status_code == 200, answer.text

    def workload(self, app: str) -> Mapping[str, Any]:
        (found,) = (w for w in self.get("/v1/namespaces/shop/workloads")["items"] if w["spec"].get("app") == app)
        return found  # type: ignore[no-any-return]


@contextmanager
def running(mode: str, user: int | None) -> Iterator[SecurityMesh]:
    mesh = SecurityMesh(mode, user)
    try:
        mesh.start()
        yield mesh
    except BaseException:
        print(mesh.log(), file=sys.stderr)
        raise
    finally:
        mesh.stop()


MESHES = {
    "sidecar-root": ("sidecar", None),
    "node-root": ("node", None),
    "sidecar-user": ("sidecar", NOBODY),
    "node-user": ("node", NOBODY),
}
