"""Finds ports of services that nothing seems to listen at: a hint only, as declared ports bind nobody."""

from collections.abc import Iterator

from tulle.model.app import App
from tulle.model.names import ServiceName
from tulle.model.problem import Problem
from tulle.model.service import Service
from tulle.model.snapshot import Snapshot

Port = tuple[str, int]
"""Name and number."""


def unheard_ports(mesh: Snapshot, service: Service) -> Iterator[Problem]:
    """One for each port whose target none of the Apps and workloads that a service selects declares. A number is fine
    where they declare nothing at all; a name has to be somewhere."""
    selected = tuple(_selected(mesh, service))
    declared = sorted({port for ports in selected for port in ports}, key=lambda port: port[1])
    numbers, names = {number for _, number in declared}, {name for name, _ in declared}
    for index, port in enumerate(service.spec.ports):
        target = port.target
        unheard = target not in names if isinstance(target, str) else declared and target not in numbers
        if selected and unheard:
            field = "port" if port.target_port is None else "targetPort"
            they = ", ".join(f"{number} ({name})" if name else str(number) for name, number in declared)
            hint = f"they declare {they}" if they else "they declare none"
            yield Problem(f"spec.ports[{index}].{field}", f"none of those that it selects declares port {target}", hint)


def _selected(mesh: Snapshot, service: Service) -> Iterator[tuple[Port, ...]]:
    """The ports of each App and workload."""
    namespace = service.metadata.namespace
    with_label = [set(mesh.labelled_apps.get((namespace, *label), ())) for label in service.spec.selector.items()]
    for ref in set.intersection(*with_label) if with_label else ():
        app = mesh.objects[ref]
        if isinstance(app, App):
            yield tuple((port.name, port.port) for port in app.spec.ports)
    for name in mesh.members.get(ServiceName(namespace, service.metadata.name), ()):
        yield tuple((port.name, port.port) for port in mesh.workloads[name].spec.ports)
