"""Pretends that the applications of files run, so that what proxies would be told can be shown without starting any."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from tulle.model import snapshot
from tulle.model.app import App
from tulle.model.keys import NodeKey
from tulle.model.kinds import Resource
from tulle.model.metadata import Metadata
from tulle.model.names import WorkloadName
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec
from tulle.view import Reader, build
from tulle.view.types import AppView, NodeView

NODE = "local"
ADDRESS = "127.0.0.1"
FIRST_MESH_PORT = 20001


def rehearse(resources: Iterable[Resource], run_dir: str = "/run/tulle") -> tuple[Resource, ...]:
    """The resources, and the workloads that agents would report: `<app>-<n>`, on the app's node or on `local`."""
    placed = tuple(_place(resource) for resource in resources)
    reader = Reader(snapshot.build(placed))
    instances = [
        (node, app, number)
        for node in sorted({resource.spec.node for resource in placed if isinstance(resource, App)})
        for app in _apps(reader, node)
        for number in range(app.replicas)
    ]
    workloads = (
        _workload(node, app, number, mesh_port, run_dir)
        for mesh_port, (node, app, number) in enumerate(instances, FIRST_MESH_PORT)
    )
    return (*placed, *workloads)


def _place(resource: Resource) -> Resource:
    if isinstance(resource, App) and not resource.spec.node:
        return replace(resource, spec=replace(resource.spec, node=NODE))
    return resource


def _apps(reader: Reader, node: str) -> Iterator[AppView]:
    view = build(reader, NodeKey(node))
    if isinstance(view, NodeView):
        yield from view.apps


def _workload(node: str, app: AppView, number: int, mesh_port: int, run_dir: str) -> Workload:
    name = WorkloadName(app.namespace, f"{app.name}-{number}")
    return Workload(
        metadata=Metadata(name=name.name, namespace=name.namespace, labels=app.labels),
        spec=WorkloadSpec(
            address=ADDRESS,
            mesh_port=mesh_port,
            node=node,
            network=f"{run_dir}/ns/{name}",
            service_account=app.service_account,
            mode=app.mode,
            ports=tuple(WorkloadPortSpec(port=port, name=port_name) for port_name, port in app.ports),
            app=app.name,
        ),
    )
