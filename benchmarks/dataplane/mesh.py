"""A whole mesh in a process of its own, as `tulle up` runs it, with resources that are made here and not read.

Usage: python -m benchmarks.dataplane.mesh <settings as JSON>; paths as for any command of Tulle (TULLE_RUN_DIR).
"""

import asyncio
import os
import sys

import msgspec
from msgspec import Struct

from tulle.cli.foreground import application_environment, capture_paths, log_to, run_until_signalled
from tulle.cli.whole_mesh import UpSettings, WholeMesh
from tulle.identity.private_file import make_private_directory
from tulle.model.app import App, AppPort, AppSpec, Probe, TCPSocketAction
from tulle.model.kinds import Resource
from tulle.model.metadata import Metadata
from tulle.model.mode import MODE_LABEL
from tulle.model.namespace import Namespace
from tulle.model.service import Service, ServicePortSpec, ServiceSpec
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec

PORT = 8080
SERVER, CLIENT, MORE = "server", "client", "more"
MODES = ("sidecar", "node")
READY = "Ctrl-C"
"""What `tulle up` says once everything is ready."""


class MeshSettings(Struct, frozen=True):
    """`server` is the command of the application; one client and one server for each of `modes`, in the namespace of
    that name. `called` further services lead to the server, `others` lead elsewhere and are never called."""

    server: tuple[str, ...]
    modes: tuple[str, ...] = MODES
    called: int = 0
    others: int = 0


def called(number: int) -> str:
    return f"called-{number}"


def resources(settings: MeshSettings) -> tuple[Resource, ...]:
    made: list[Resource] = []
    for mode in settings.modes:
        made.append(Namespace(metadata=Metadata(mode, labels={MODE_LABEL: mode})))
        made.append(app(SERVER, mode, settings.server, PORT))
        made.append(app(CLIENT, mode, ("sleep", "infinity")))
        for name in (SERVER, *(called(n) for n in range(settings.called))):
            made.append(_service(name, mode, SERVER))
    for number in range(settings.others):
        name = f"other-{number}"
        made += [_service(name, settings.modes[0], name), _elsewhere(name, settings.modes[0], number)]
    return tuple(made)


def app(name: str, namespace: str, command: tuple[str, ...], port: int = 0, replicas: int = 1, node: str = "") -> App:
    """`node` may be left out of what the mesh starts with."""
    ports = (AppPort(port, "http"),) if port else ()
    probe = Probe(tcp_socket=TCPSocketAction(port), period_seconds=60) if port else None
    spec = AppSpec(
        command=command,
        ports=ports,
        readiness_probe=probe,
        replicas=replicas,
        service_account=name,
        working_dir="/",
        node=node,
    )
    return App(metadata=Metadata(name, namespace), spec=spec)


def _service(name: str, namespace: str, selected: str) -> Service:
    spec = ServiceSpec(selector={"app": selected}, ports=(ServicePortSpec(PORT, "http", app_protocol="http"),))
    return Service(metadata=Metadata(name, namespace), spec=spec)


def _elsewhere(name: str, namespace: str, number: int) -> Workload:
    """A workload of a node that is not this one."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    spec = WorkloadSpec(address=address, mesh_port=15100, ports=(WorkloadPortSpec(PORT, "http"),))
    return Workload(metadata=Metadata(name, namespace, {"app": name}), spec=spec)


def main(settings: MeshSettings) -> int:
    paths, rootless = capture_paths()
    for directory in (paths.run_dir, paths.state_dir):
        make_private_directory(directory)
    log_to(paths.state_dir / "up.log")
    environment = application_environment(os.environ)
    mesh = WholeMesh(UpSettings(paths, rootless, resources(settings), None, (), environment, 120.0, None))

    async def run(stopping: asyncio.Event) -> int:
        return await mesh.run(stopping)

    return run_until_signalled(run)


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=MeshSettings)))
