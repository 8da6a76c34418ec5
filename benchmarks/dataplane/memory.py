"""Memory of proxies: idle, for each further workload of a node proxy, and of one that calls ten services of many."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from benchmarks import counters
from benchmarks.child import Failed, until
from benchmarks.dataplane import load, testbed
from benchmarks.dataplane.mesh import CLIENT, MORE, PORT, SERVER, MeshSettings, app, called
from tulle.model.parse import encode_json

_CALLED = 10
_SETTLE = 3.0
_IDLE = 5.0
READY_WITHIN = 120.0


class Idle(Struct, frozen=True):
    """Of proxies that have just started: memory, and CPU milliseconds per second."""

    sidecar: counters.Memory
    node: counters.Memory
    sidecar_cpu: float
    node_cpu: float


class Slope(Struct, frozen=True):
    """The node proxy before and after so many further workloads."""

    workloads: int
    before: counters.Memory
    after: counters.Memory


class Scoped(Struct, frozen=True):
    """A sidecar that calls ten services, in meshes of two sizes, before it calls and after."""

    services: int
    before: counters.Memory
    after: counters.Memory


def idle(mesh: testbed.Mesh) -> Idle:
    sidecar, node = mesh.proxy_of("sidecar", CLIENT), mesh.node_proxy()
    time.sleep(_SETTLE)
    cpu = [counters.cpu_seconds([pid]) for pid in (sidecar, node)]
    time.sleep(_IDLE)
    spent = [(counters.cpu_seconds([pid]) - c) / _IDLE * 1e3 for pid, c in zip((sidecar, node), cpu, strict=True)]
    return Idle(counters.memory(sidecar), counters.memory(node), spent[0], spent[1])


def slope(at: Path, mesh: testbed.Mesh, workloads: int) -> Slope:
    """Adds replicas of an App with one port, that nobody calls."""
    before = counters.memory(mesh.node_proxy())
    command = (sys.executable, "-m", "http.server", str(PORT), "--bind", "127.0.0.1")
    more = app(MORE, "node", command, PORT, replicas=workloads, node="local")
    (at / "more.json").write_bytes(encode_json(more))
    _tulle(mesh, "apply", "-f", str(at / "more.json"))
    until(lambda: mesh.ready("node", MORE) == workloads, f"{workloads} workloads are ready", READY_WITHIN)
    time.sleep(_SETTLE)
    return Slope(workloads, before, counters.memory(mesh.node_proxy()))


def scoped(services: int, advance: Callable[[str], None]) -> Scoped:
    """A mesh of its own with so many services."""
    advance(f"memory: a mesh of {services} services")
    with testbed.directory() as at:
        others = services - _CALLED
        settings = MeshSettings(testbed.application(at), ("sidecar",), called=_CALLED, others=others)
        with testbed.mesh(at, settings) as mesh:
            proxy = mesh.proxy_of("sidecar", CLIENT)
            before = counters.memory(proxy)
            enter = mesh.enter("sidecar")
            with load.client(enter, SERVER, PORT, at / "client.log") as client:
                for number in range(_CALLED):
                    client.run(["curl", "-sf", "-o", "/dev/null", f"http://{called(number)}:{PORT}/"])
            time.sleep(_SETTLE)
            return Scoped(services, before, counters.memory(proxy))


def _tulle(mesh: testbed.Mesh, *arguments: str) -> None:
    tulle = Path(sys.executable).with_name("tulle")
    done = subprocess.run(
        [tulle, *arguments],
        capture_output=True,
        text=True,
        env={**mesh.variables, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"tulle {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
