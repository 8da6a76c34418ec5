"""Joins two connections into one, in both directions, so that the end of one direction leaves the other open."""

import asyncio

from msgspec import Struct

_CHUNK = 64 * 1024


class Connection(Struct, frozen=True):
    """One side of a splice."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abort(self) -> None:
        """Closes it at once, dropping what is not yet sent."""
        self.writer.transport.abort()


async def splice(left: Connection, right: Connection) -> None:
    """Copies until both directions have ended and everything is sent, and closes both. A side that breaks, or being
    cancelled, ends both at once."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(left.reader, right.writer), name="splice there")
            tasks.create_task(_copy(right.reader, left.writer), name="splice back")
        for side in (left, right):
            side.writer.close()
            await side.writer.wait_closed()
    except* OSError:
        pass  # the other side learns of it by the abort
    finally:
        left.abort()
        right.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
