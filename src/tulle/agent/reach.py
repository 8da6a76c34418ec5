"""Finds out whether anything listens, in a workload's namespace or on this host: the agent tells nobody that something
can be reached before it has reached it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from tulle.agent.capture.namespace import dial, dial_application
from tulle.agent.envoy_admin import EnvoyAdmin
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.roster import Record
from tulle.model.keys import ListenerKey
from tulle.xds.names import name_of

Accepts: TypeAlias = Callable[[Path | None, str, int], Awaitable[bool]]
"""Whether `address:port` accepts, in the network namespace at a path or, without one, in this process's."""

AppAccepts: TypeAlias = Callable[[Path, int], Awaitable[bool]]
"""Whether an application accepts at a port inside the namespace at a path."""

Listens: TypeAlias = Callable[[Record], Awaitable[bool]]
"""Whether a workload's proxy listens at the workload's mesh port. Raises AdminError where it does not say."""

_LIMIT = 2.0


async def accepts(network: Path | None, address: str, port: int) -> bool:
    try:
        if network is not None:
            (await dial(network, port, address, _LIMIT)).close()
        else:
            async with asyncio.timeout(_LIMIT):
                _, writer = await asyncio.open_connection(address, port)
            writer.transport.abort()
    except OSError:
        return False
    return True


async def proxy_listens(run_dir: Path, node: str, record: Record) -> bool:
    """As `Listens`. The proxy itself is asked: that something accepts at the port does not say whose it is."""
    _, listener = name_of(ListenerKey(record.name, "inbound"))
    admin = EnvoyAdmin(ProxyDirectory.of(run_dir, record.proxy(node)).admin, _LIMIT)
    return (await admin.listening_ports()).get(listener) == record.mesh_port


async def application_accepts(network: Path, port: int) -> bool:
    try:
        (await dial_application(network, port)).close()
    except OSError:
        return False
    return True
