"""Gives each workload a port for its mesh address.

Every workload has its own, in node mode too: Envoy knows an endpoint by its address, so two workloads of a service
on one node may not share one.
"""

from collections.abc import Callable, Container

MESH_PORTS = range(15100, 15900)
"""What has to be reachable between hosts."""


class NoMeshPort(Exception):
    """Every mesh port of this node is in use."""


def free_mesh_port(taken: Container[int], usable: Callable[[int], bool], start: int) -> int:
    """A port that no workload has and that `usable` (a trial bind) lets through, looked for from `start` on: going
    round keeps a port from a newcomer as long as possible after its last owner."""
    for step in range(len(MESH_PORTS)):
        port = MESH_PORTS[(start + step) % len(MESH_PORTS)]
        if port not in taken and usable(port):
            return port
    raise NoMeshPort(f"ports {MESH_PORTS.start} to {MESH_PORTS.stop - 1} are all in use")
