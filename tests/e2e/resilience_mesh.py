"""A mesh of separate processes (`tulle server`, `tulle agent`), each of which a test may kill, and what runs in it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from tests.e2e.ordinary_user import python_as

from tulle.agent.capture.holder import holder
from tulle.agent.capture.namespace import Namespaces
from tulle.agent.pidfd import Process, ProcessIdentity

HERE = Path(__file__).parent
NODE = "n1"
KINDS = ("keep-alive", "close", "unary", "grpc-stream", "tcp", "http-stream")


def until(holds: Callable[[], object], what: str, limit: float = 60) -> float:
    """Waits until something holds; returns how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit, f"not within {limit} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Call(NamedTuple):
    """One request of the steady client."""

    ended: float
    kind: str
    id: str
    seconds: float
    outcome: str

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


class Mesh:
    """`user` None: as root. Files are below a short directory of their own, for the sockets' paths."""

    def __init__(self, mode: str, user: int | None = None) -> None:
        self.mode = mode
        self.directory = Path(tempfile.mkdtemp(prefix="tulle-", dir="/tmp"))
        self.run_dir, self.state_dir = self.directory / "run", self.directory / "state"
        self.out = self.directory / "out"
        self.out.mkdir()
        self._user = user
        # An address of its own, so that meshes of other tests on this host have other mesh addresses.
        self.address = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{len(mode)}"
        self.xds, self.enrolment = free_port(), free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.agent: subprocess.Popen[bytes] | None = None
        if user is not None:
            os.chown(self.directory, user, user)
            os.chown(self.out, user, user)
            self.directory.chmod(0o700)
        self.api = self._api_client()

    # Processes

    def start_server(self) -> None:
        self.server = self._spawn(
            "server",
            *("server", "--xds-address", f"127.0.0.1:{self.xds}", "--enrolment-address", f"127.0.0.1:{self.enrolment}"),
        )
        until(self.answers, "the API answers")

    def start_agent(self, token: Path | None = None) -> None:
        """A node that is none yet needs a token; it is made where the control plane is there."""
        arguments = ["agent", "--node", NODE, "--control-plane", f"127.0.0.1:{self.xds}"]
        arguments += ["--enrolment", f"127.0.0.1:{self.enrolment}", "--address", self.address]
        if not (self.state_dir / "agent" / "node.pem").exists() and self.answers():
            token = self.made_token()
        arguments += ["--token-file", str(token)] if token else []
        self.agent = self._spawn("agent", *arguments)

    def kill_server(self, number: signal.Signals = signal.SIGKILL) -> None:
        _end(self.server, number)

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        _end(self.agent, number)

    def made_token(self) -> Path:
        """A file with a join token for the node."""
        file = self.directory / "token"
        answer = self.api.post("/v1/tokens", json={"node": NODE, "serviceAccounts": ["steady/*"]})
        answer.raise_for_status()
        file.write_text(answer.json()["token"])
        file.chmod(0o600)
        if self._user is not None:
            os.chown(file, self._user, self._user)
        return file

    def _spawn(self, log: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.out / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                self._command(*arguments), env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    def _command(self, *arguments: str) -> list[str]:
        command = (str(Path(sys.executable).with_name("tulle")), *arguments)
        return [sys.executable, *command] if self._user is None else python_as(self._user, Path("/"), *command)

    @property
    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "TULLE_RUN_DIR": str(self.run_dir),
            "TULLE_STATE_DIR": str(self.state_dir),
            "COLUMNS": "200",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }

    def tulle(self, *arguments: str) -> str:
        """Runs a command that has to succeed; returns what it printed."""
        done = subprocess.run(
            self._command(*arguments), env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begins a command; whoever asked for it ends it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command(*arguments), env=self._environment, stdout=pipe, text=True)

    # The API

    def _api_client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.run_dir / "api.sock"))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=30)

    def answers(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def agent_answers(self) -> bool:
        """Whether an agent has taken over what there is: only then it listens for the commands of its host."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.run_dir / "agent.sock")) == 0

    def apply(self, *resources: Mapping[str, Any]) -> None:
        answer = self.api.post("/v1/apply", json={"items": resources})
        assert answer.status_code == 200, answer.text

    def get(self, path: str) -> Any:
        answer = self.api.get(path)
        answer.raise_for_status()
        return answer.json()

    def proxies(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/v1/proxies")["items"]
        return found

    def in_sync(self) -> bool:
        found = self.proxies()
        return bool(found) and all(p["connected"] and p["inSync"] for p in found)

    def ready(self, app: str) -> list[str]:
        """The names of an App's ready workloads."""
        items = self.get("/v1/namespaces/steady/workloads")["items"]
        return [
            i["metadata"]["name"]
            for i in items
            if i["spec"].get("app") == app and i["spec"].get("state", "Ready") == "Ready"
        ]

    # What runs on the node

    def envoys(self) -> dict[str, ProcessIdentity]:
        """By proxy."""
        states = [json.loads(p.read_text()) for p in self.run_dir.glob("proxies/*/process.json")]
        return {s["proxy"]: ProcessIdentity(**s["process"]) for s in states}

    def envoy_of(self, app: str) -> tuple[str, ProcessIdentity]:
        """One that serves a workload of an App."""
        return next((p, i) for p, i in sorted(self.envoys().items()) if self.mode == "node" or f"{app}-" in p)

    def applications(self) -> dict[str, ProcessIdentity]:
        """By workload."""
        records = {}
        for path in self.run_dir.glob("apps/*.json"):
            with contextlib.suppress(FileNotFoundError):  # it has just gone
                records[path.stem] = json.loads(path.read_text())
        return {name: ProcessIdentity(**r["process"]) for name, r in records.items()}

    def processes(self) -> list[int]:
        """All proxies and applications of this mesh that run, known to it or not."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().split(b"\0")
            except OSError:  # ended
                continue
            is_envoy = Path(command[0].decode()).name.startswith("envoy") and str(self.run_dir) in command[2].decode()
            if is_envoy or any(argument.startswith(f"{self.out}/".encode()) for argument in command):
                found.append(int(entry.parent.name))
        return sorted(found)

    def known(self) -> list[int]:
        return sorted(identity.pid for identity in (*self.envoys().values(), *self.applications().values()))

    def is_live(self, proxy: str) -> bool:
        """Whether a proxy's Envoy has its configuration."""
        for state in self.run_dir.glob("proxies/*/process.json"):
            if json.loads(state.read_text())["proxy"] == proxy:
                transport = httpx.HTTPTransport(uds=str(state.with_name("admin.sock")))
                try:
                    with httpx.Client(transport=transport, base_url="http://localhost", timeout=2) as admin:
                        return bool(admin.get("/server_info").json()["state"] == "LIVE")
                except (httpx.HTTPError, ValueError):
                    return False
        return False

    # Calls

    def calls(self, since: int = 0) -> list[Call]:
        """The finished requests of the steady client from byte `since` of its log on."""
        data = self._read_calls(since)
        lines = data[: data.rfind(b"\n") + 1].decode().splitlines()
        parts = (line.split(" ", 4) for line in lines)
        return [
            Call(float(ended), kind, name, float(seconds), outcome) for ended, kind, name, seconds, outcome in parts
        ]

    def mark(self) -> int:
        """Where the log of the steady client is now."""
        return (self.out / "calls").stat().st_size if (self.out / "calls").exists() else 0

    def _read_calls(self, since: int) -> bytes:
        with (self.out / "calls").open("rb") as log:
            log.seek(since)
            data = log.read()
        return data if since == 0 else data[data.find(b"\n") + 1 :]

    def flows(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Waits until every kind of call succeeds from now on."""
        since = self.mark()
        until(lambda: {c.kind for c in self.calls(since) if c.ok} >= set(kinds), f"{kinds} flow")

    @contextmanager
    def nothing_lost(self, kinds: tuple[str, ...] = KINDS) -> Iterator[None]:
        """Every request of these kinds that ends meanwhile is a success, and there are some of each."""
        since = self.mark()
        yield
        self.flows(kinds)
        failed = [call for call in self.calls(since) if not call.ok and call.kind in kinds]
        assert failed == []

    def executed(self) -> Counter[str]:
        """How often the servers executed each request."""
        return Counter((self.out / "executed").read_text().split())

    def log(self, name: str) -> str:
        file = self.out / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    # The end

    def close(self) -> None:
        """Ends all that there is, by its identity."""
        self.api.close()
        for process in (self.agent, self.server):
            _end(process, signal.SIGKILL)
        held = holder(self.run_dir)
        left = [*self.applications().values(), *self.envoys().values(), *([held] if held else [])]
        for identity in left:
            if (process := Process.open(identity)) is not None:
                process.send(signal.SIGKILL)
                process.close()
        if self._user is None and (self.run_dir / "ns").exists():
            Namespaces(self.run_dir).sweep()
        shutil.rmtree(self.directory, ignore_errors=True)


def kill(identity: ProcessIdentity) -> None:
    """SIGKILL; returns when it has ended."""
    process = Process.open(identity)
    assert process is not None
    process.send(signal.SIGKILL)
    until(lambda: not process.running, "the process has ended")
    process.close()


def _end(process: "subprocess.Popen[bytes] | None", number: signal.Signals) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)
        process.wait(30)


def steady(mesh: Mesh, replicas: int = 2, pause: str = "0.03") -> list[dict[str, Any]]:
    """The resources of the mesh: servers, and one who calls them. Another `pause` makes another version of the
    servers."""
    text = f"""
apiVersion: tulle.dev/v1alpha1
kind: Mesh
metadata: {{name: default}}
spec: {{trustDomain: tulle.local, mode: {mesh.mode}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: steady}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: server, namespace: steady}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: caller, namespace: steady}}
---
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {{name: server, namespace: steady}}
spec:
  node: {NODE}
  command: [python, {HERE}/steady.py, serve, {mesh.out}/executed]
  env: [{{name: PAUSE, value: "{pause}"}}]
  replicas: {replicas}
  serviceAccount: server
  labels: {{app: server}}
  ports:
  - {{name: http, port: 8080}}
  - {{name: grpc, port: 9090}}
  - {{name: tcp, port: 9000}}
  readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {{name: caller, namespace: steady}}
spec:
  node: {NODE}
  command: [python, {HERE}/steady.py, call, {mesh.out}/calls]
  serviceAccount: caller
  labels: {{app: caller}}
---
apiVersion: v1
kind: Service
metadata: {{name: http, namespace: steady}}
spec:
  selector: {{app: server}}
  ports: [{{name: http, port: 8080, appProtocol: http}}]
---
apiVersion: v1
kind: Service
metadata: {{name: grpc, namespace: steady}}
spec:
  selector: {{app: server}}
  ports: [{{name: grpc, port: 9090, appProtocol: grpc}}]
---
apiVersion: v1
kind: Service
metadata: {{name: tcp, namespace: steady}}
spec:
  selector: {{app: server}}
  ports: [{{name: tcp, port: 9000, appProtocol: tcp}}]
"""
    return list(yaml.safe_load_all(text))


@contextmanager
def running(mode: str, user: int | None = None, replicas: int = 2) -> Iterator[Mesh]:
    """A mesh in which the steady client calls the steady servers."""
    mesh = Mesh(mode, user)
    try:
        mesh.start_server()
        mesh.apply(*steady(mesh, replicas))
        mesh.start_agent()
        until(lambda: len(mesh.ready("server")) == replicas and (mesh.out / "calls").exists(), "all run")
        mesh.flows()
        yield mesh
    except BaseException:
        print(mesh.log("server")[-3000:], mesh.log("agent")[-6000:], sep="\n---\n", file=sys.stderr)
        raise
    finally:
        mesh.close()
