"""Finds ports of services that nothing seems to listen at: a hint only, as declared ports bind nobody."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tulle.model.app import App
from tulle.model.names import ServiceName
from tulle.model.problem import Problem
from tulle.model.service import Service
from tulle.model.snapshot import Label, Snapshot

Port = tuple[str, int]
"""Name and number."""


def apps_by_label(mesh: Snapshot) -> Mapping[Label, Sequence[App]]:
    """The Apps by each label of their workloads, made once for all services: a file may hold thousands of both."""
    found: dict[Label, list[App]] = defaultdict(list)
    for app in mesh.objects.values():
        if isinstance(app, App):
            for key, value in app.workload_labels.items():
                found[app.metadata.namespace, key, value].append(app)
    return found


def unheard_ports(mesh: Snapshot, apps: Mapping[Label, Sequence[App]], service: Service) -> Iterator[Problem]:
    """One for each port whose target none of the Apps and workloads that a service selects declares. A number is fine
    where they declare nothing at all; a name has to be somewhere."""
    selected = tuple(_selected(mesh, apps, service))
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


def _selected(mesh: Snapshot, apps: Mapping[Label, Sequence[App]], service: Service) -> Iterator[tuple[Port, ...]]:
    """The ports of each App and workload."""
    namespace = service.metadata.namespace
    wanted = service.spec.selector.items()
    for key, value in list(wanted)[:1]:
        for app in apps.get((namespace, key, value), ()):
            if wanted <= app.workload_labels.items():
                yield tuple((port.name, port.port) for port in app.spec.ports)
    for name in mesh.members.get(ServiceName(namespace, service.metadata.name), ()):
        yield tuple((port.name, port.port) for port in mesh.workloads[name].spec.ports)
