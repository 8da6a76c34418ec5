"""Two connections become one."""

import asyncio
import socket

from tulle.agent.capture.splice import Connection, splice


async def _pair() -> tuple[Connection, Connection]:
    here, there = socket.socketpair()
    return tuple([Connection(*await asyncio.open_connection(sock=end)) for end in (here, there)])  # type: ignore


async def test_the_end_of_one_direction_leaves_the_other_open() -> None:
    client, near = await _pair()
    far, server = await _pair()
    task = asyncio.create_task(splice(near, far))
    client.writer.write(b"question" * 50_000)
    client.writer.write_eof()
    assert await server.reader.read(-1) == b"question" * 50_000
    server.writer.write(b"answer")
    server.writer.write_eof()
    assert await client.reader.read(-1) == b"answer"
    await task
    for connection in (client, server):
        connection.writer.close()


async def test_what_is_still_to_be_sent_is_sent() -> None:
    client, near = await _pair()
    far, server = await _pair()
    task = asyncio.create_task(splice(near, far))
    client.writer.write_eof()
    server.writer.write(b"x" * 3_000_000)
    server.writer.write_eof()
    # Nothing is read yet, so that buffers are full when the last byte comes.
    while not server.reader.at_eof():
        await server.reader.read(1)
    assert await client.reader.read(-1) == b"x" * 3_000_000
    await task
    for connection in (client, server):
        connection.writer.close()


async def test_a_broken_side_ends_both() -> None:
    client, near = await _pair()
    far, server = await _pair()
    task = asyncio.create_task(splice(near, far))
    server.writer.close()
    assert await client.reader.read(-1) == b""
    client.writer.write(b"x")
    await task
    client.writer.close()
