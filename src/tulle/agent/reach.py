"""Finds out whether anything listens, in a workload's namespace or on this host: the agent tells nobody that something
can be reached before it has reached it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from tulle.agent.capture.namespace import dial, dial_application

Accepts: TypeAlias = Callable[[Path | None, str, int], Awaitable[bool]]
"""Whether `address:port` accepts, in the network namespace at a path or, without one, in this process's."""

AppAccepts: TypeAlias = Callable[[Path, int], Awaitable[bool]]
"""Whether an application accepts at a port inside the namespace at a path."""

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


async def application_accepts(network: Path, port: int) -> bool:
    try:
        (await dial_application(network, port)).close()
    except OSError:
        return False
    return True
