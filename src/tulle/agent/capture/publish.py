"""Makes a workload's port reachable on this host's loopback address, for the person who develops it.

Not a way into the mesh for others: it goes past the proxy, as `kubectl port-forward` does, and is on 127.0.0.1 only.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from itertools import count
from pathlib import Path

from msgspec import Struct

from tulle.agent.capture.accept import accept
from tulle.agent.capture.namespace import dial_application
from tulle.agent.capture.splice import Connection, splice
from tulle.agent.errors import PortTaken

_log = logging.getLogger(__name__)


class Target(Struct, frozen=True):
    """A port inside the network namespace at `network`."""

    network: Path
    port: int


def bind_published(host_port: int) -> socket.socket:
    """A listening socket on 127.0.0.1:`host_port`. Raises PortTaken."""
    try:
        bound = socket.create_server(("127.0.0.1", host_port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise PortTaken(f"port {host_port} of 127.0.0.1 cannot be opened: {reason}") from error
    bound.setblocking(False)
    return bound


async def publish(listener: socket.socket, targets: Callable[[], tuple[Target, ...]], most: int = 256) -> None:
    """Carries the connections of a socket from `bind_published` until cancelled, each to the next of `targets()` that
    answers."""
    turn = count()

    async def carry(accepted: socket.socket) -> None:
        near = Connection(*await asyncio.open_connection(sock=accepted))
        far = await _dial(targets(), next(turn))
        if far is None:
            near.abort()
        else:
            await splice(near, far)

    await accept(listener, carry, most)


async def _dial(targets: tuple[Target, ...], turn: int) -> Connection | None:
    for offset in range(len(targets)):
        target = targets[(turn + offset) % len(targets)]
        try:
            connected = await dial_application(target.network, target.port)
        except OSError as failure:
            _log.info("%s port %d does not answer: %s", target.network.name, target.port, failure)
        else:
            return Connection(*await asyncio.open_connection(sock=connected))
    return None
