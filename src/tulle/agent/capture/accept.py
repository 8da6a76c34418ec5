"""Accepts connections on a listening socket, a limited number at a time."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)

_PAUSE = 0.1


async def accept(listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]], most: int) -> None:
    """Gives each connection to `serve`, which has to close it, until cancelled; then ends them and closes the listener.

    Beyond `most` at a time connections wait in the listener's backlog.
    """
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(most)

    async def keep(accepted: socket.socket) -> None:
        try:
            await serve(accepted)
        except Exception:  # a task's root: the other connections go on
            _log.exception("a connection could not be served")
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            while True:
                await room.acquire()
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError as failure:  # out of descriptors, or the peer was gone already
                    _log.warning("a connection could not be accepted: %s", failure)
                    room.release()
                    await asyncio.sleep(_PAUSE)
                    continue
                tasks.create_task(keep(accepted), name="connection")
    finally:
        listener.close()
