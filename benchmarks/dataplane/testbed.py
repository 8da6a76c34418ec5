"""Builds what is compared: each arm is a way from a client to the same application, with the proxies on that way.

All arms run side by side for the whole time, so that memory, caches and the machine are the same for all.
"""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import Popen

import msgspec
from msgspec import Struct

from benchmarks.child import Failed, module, running, until
from benchmarks.dataplane import load, plain_envoy
from benchmarks.dataplane.mesh import CLIENT, PORT, READY, SERVER, MeshSettings
from tulle.agent import envoy_binary
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.roster import Record
from tulle.model.names import ProxyId

DIRECT, ENVOY, ENVOY_TCP, SIDECAR, NODE = "direct", "envoy", "envoy, TCP in", "tulle sidecar", "tulle node"
ARMS = (DIRECT, ENVOY, ENVOY_TCP, SIDECAR, NODE)
_PAIRS = {ENVOY: plain_envoy.http_server, ENVOY_TCP: plain_envoy.tcp_server}
START = 120.0
LOOPBACK = "127.0.0.1"


class Arm(Struct, frozen=True):
    """`proxies` are the pids of the proxies on the way."""

    name: str
    client: load.Client
    proxies: tuple[int, ...]


class Mesh:
    """A running mesh. `variables` of the environment make commands of Tulle talk to it."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = directory / "run"
        self.variables = {"TULLE_RUN_DIR": str(self.run_dir), "TULLE_STATE_DIR": str(directory / "state")}

    def enter(self, namespace: str, name: str = CLIENT) -> tuple[str, ...]:
        variables = (f"{key}={value}" for key, value in self.variables.items())
        tulle = str(Path(sys.executable).with_name("tulle"))
        return ("env", *variables, tulle, "exec", "-n", namespace, name, "--")

    def proxies(self) -> Mapping[ProxyId, int]:
        """The pids of the proxies that run."""
        states = (ProxyDirectory(path.parent).read_state() for path in self.run_dir.glob("proxies/*/process.json"))
        return {proxy: s.process.pid for s in states if s and (proxy := ProxyId.parse(s.proxy))}

    def proxy_of(self, namespace: str, app: str) -> int:
        """The pid of the sidecar of an App."""
        for proxy, pid in self.proxies().items():
            if proxy.workload and proxy.workload.namespace == namespace and proxy.workload.name.startswith(f"{app}-"):
                return pid
        raise Failed(f"no sidecar of {app} runs")

    def node_proxy(self) -> int:
        for proxy, pid in self.proxies().items():
            if proxy.workload is None:
                return pid
        raise Failed("no node proxy runs")

    def ready(self, namespace: str, app: str) -> int:
        """How many workloads of an App are ready."""
        records = msgspec.json.decode((self.run_dir / "workloads.json").read_bytes(), type=tuple[Record, ...])
        return sum(r.state == "Ready" for r in records if (r.name.namespace, r.app) == (namespace, app))


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A short path, as those of unix sockets have to be."""
    with tempfile.TemporaryDirectory(prefix="tulle-bench-", dir="/tmp") as path:
        yield Path(path)


@contextlib.contextmanager
def mesh(at: Path, settings: MeshSettings) -> Iterator[Mesh]:
    found = Mesh(at)
    command = module("dataplane.mesh", msgspec.json.encode(settings).decode())
    output = at / "mesh.log"
    with running(command, output, environment=found.variables) as process:
        until(lambda: _said_ready(process, output), f"the mesh is ready; see {output}", START)
        yield found


def _said_ready(process: Popen[str], output: Path) -> bool:
    text = output.read_text()
    if process.poll() is not None:
        raise Failed(f"the mesh ended:\n{text[-2000:]}")
    return READY in text


@contextlib.contextmanager
def arms(at: Path) -> Iterator[tuple[tuple[Arm, ...], Mesh]]:
    """Starts all of them."""
    with contextlib.ExitStack() as stack:
        binary = str(envoy_binary.find(os.environ).path)
        files = at / "files"
        files.mkdir()
        files.chmod(0o755)
        at.chmod(0o755)
        plain_envoy.write_certificates(files)
        upstream, *ports = _free_ports(1 + 2 * len(_PAIRS))

        def start(name: str, config: str, port: int) -> int:
            process = stack.enter_context(running(_envoy(binary, files, name, config), at / f"{name}.log"))
            until(lambda: _accepts(port), f"{name} listens; see {at / name}.log")
            return process.pid

        start("upstream", plain_envoy.upstream(upstream), upstream)
        application = tuple(_envoy(binary, files, "application", plain_envoy.upstream(PORT)))
        running_mesh = stack.enter_context(mesh(at, MeshSettings(application)))
        sidecars = tuple(running_mesh.proxy_of("sidecar", app) for app in (CLIENT, SERVER))

        def arm(name: str, enter: tuple[str, ...], host: str, port: int, proxies: tuple[int, ...]) -> Arm:
            return Arm(name, stack.enter_context(load.client(enter, host, port, at / "clients.log")), proxies)

        def pair(name: str, entry: int, mesh: int) -> Arm:
            ports = plain_envoy.Pair(entry, mesh, upstream)
            server = start(f"{name} server", _PAIRS[name](ports, files), mesh)
            client = start(f"{name} client", plain_envoy.client(ports, files), entry)
            return arm(name, (), LOOPBACK, entry, (client, server))

        yield (
            (
                arm(DIRECT, (), LOOPBACK, upstream, ()),
                *(pair(name, *ports[2 * n : 2 * n + 2]) for n, name in enumerate(_PAIRS)),
                arm(SIDECAR, running_mesh.enter("sidecar"), SERVER, PORT, sidecars),
                arm(NODE, running_mesh.enter("node"), SERVER, PORT, (running_mesh.node_proxy(),)),
            ),
            running_mesh,
        )


def application(at: Path) -> tuple[str, ...]:
    """The command of the application alone, for meshes without the other arms."""
    at.chmod(0o755)
    binary = str(envoy_binary.find(os.environ).path)
    return tuple(_envoy(binary, at, "application", plain_envoy.upstream(PORT)))


def _envoy(binary: str, files: Path, name: str, config: str) -> list[str]:
    path = files / f"{name}.json"
    path.write_text(config)
    return [binary, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [listening.getsockname()[1] for listening in bound]
