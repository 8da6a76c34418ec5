"""Connections are served a limited number at a time, and one failure is one failure."""

import asyncio
import contextlib
import socket

from tulle.agent.capture.accept import accept


async def test_more_connections_wait_and_failures_are_single() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    served = 0
    go_on = asyncio.Event()

    async def serve(accepted: socket.socket) -> None:
        nonlocal served
        served += 1
        await go_on.wait()
        accepted.close()
        raise RuntimeError("broken")

    task = asyncio.create_task(accept(listener, serve, most=2))
    clients = [await asyncio.open_connection(*address) for _ in range(5)]
    while served < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert served == 2
    go_on.set()
    for reader, writer in clients:
        assert await reader.read() == b""
        writer.close()
    assert served == 5
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert listener.fileno() == -1
