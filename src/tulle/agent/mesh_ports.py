"""Gives each workload a port for its mesh address.

Every workload has its own, in node mode too: Envoy knows an endpoint by its address, so two workloads of a service
on one node may not share one.
"""

import socket
from collections.abc import Callable, Container

from tulle.agent.errors import AgentError

MESH_PORTS = range(15100, 15900)
"""What has to be reachable between hosts."""


class NoMeshPort(AgentError):
    """Every mesh port of this node is in use."""


class MeshPorts:
    """Goes round through the range: that keeps a port from a newcomer as long as possible after its last owner.

    `usable` lets a port through, such as a trial bind. `first` is how far into the range the round begins: where that
    differs, two agents on one host rarely try the same port at the same time.
    """

    def __init__(self, usable: Callable[[int], bool], first: int = 0) -> None:
        self._usable = usable
        self._next = first

    def take(self, taken: Container[int]) -> int:
        """A usable port that is not among the `taken`. Raises NoMeshPort."""
        for step in range(len(MESH_PORTS)):
            offset = (self._next + step) % len(MESH_PORTS)
            port = MESH_PORTS[offset]
            if port not in taken and self._usable(port):
                self._next = offset + 1
                return port
        raise NoMeshPort(f"ports {MESH_PORTS.start} to {MESH_PORTS.stop - 1} are all in use")


def can_be_bound(address: str, port: int) -> bool:
    """Whether a listener of this host could have the address now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True
