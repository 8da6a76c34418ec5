"""A workload's two listeners: what it sends, and its mesh address."""

from tulle.model.keys import ListenerKey, PassthroughClusterKey
from tulle.model.names import WorkloadName, WorkloadPort
from tulle.model.workload import Workload
from tulle.view.cluster import identity_of
from tulle.view.endpoints import target_port
from tulle.view.reader import Reader
from tulle.view.types import CapturedPort, InboundListenerView, OutboundListenerView


def listener(reader: Reader, key: ListenerKey) -> InboundListenerView | OutboundListenerView | None:
    workload = reader.workload(key.workload)
    if workload is None or not workload.spec.network:
        return None
    return _outbound(reader, key, workload) if key.direction == "outbound" else _inbound(reader, key, workload)


def passthrough(reader: Reader, workload: Workload) -> PassthroughClusterKey | None:
    """Where traffic to unknown addresses goes, if the mesh allows it."""
    if reader.mesh().outbound_traffic_policy.mode == "REGISTRY_ONLY":
        return None
    return PassthroughClusterKey(workload.spec.host_gateway)


def _outbound(reader: Reader, key: ListenerKey, workload: Workload) -> OutboundListenerView:
    return OutboundListenerView(
        key=key,
        network=workload.spec.network,
        identity=identity_of(reader, workload),
        client_namespace=key.workload.namespace,
        passthrough=passthrough(reader, workload),
        exceptions=tuple(CapturedPort(m.addresses, m.port, m.protocol) for m in reader.mixed_ports()),
    )


def _inbound(reader: Reader, key: ListenerKey, workload: Workload) -> InboundListenerView:
    return InboundListenerView(
        key=key,
        address=workload.spec.address,
        port=workload.spec.mesh_port,
        identity=identity_of(reader, workload),
        ports=inbound_ports(reader, workload),
    )


def inbound_ports(reader: Reader, workload: Workload) -> tuple[WorkloadPort, ...]:
    """The ports that peers may reach: those declared and those that a service leads to."""
    name = WorkloadName(workload.metadata.namespace, workload.metadata.name)
    ports = {p.port for p in workload.spec.ports}
    for service in reader.services_of(name):
        ports.update(t for p in service.ports if (t := target_port(workload, p)) is not None)
    return tuple(WorkloadPort(name, port) for port in sorted(ports))
