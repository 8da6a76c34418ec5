"""Which workloads a proxy serves, and which proxy serves a workload."""

from tulle.model.names import ProxyId, WorkloadName
from tulle.model.workload import Workload
from tulle.view.reader import Reader


def proxy_of(name: WorkloadName, workload: Workload) -> ProxyId:
    """Its own, or the one of its node."""
    return ProxyId(workload.spec.node, name if workload.spec.mode == "sidecar" else None)


def workloads_of(reader: Reader, proxy: ProxyId) -> tuple[Workload, ...]:
    """A sidecar serves the workload it is named for, a node proxy all of its node in node mode; neither serves a
    workload of another node, or one that is dealt to the other kind."""
    if proxy.workload is not None:
        found = reader.workload(proxy.workload)
        return (found,) if found and found.spec.node == proxy.node and found.spec.mode == "sidecar" else ()
    names = reader.node_workloads(proxy.node)
    workloads = (reader.workload(name) for name in names)
    return tuple(w for w in workloads if w is not None and w.spec.mode == "node")
