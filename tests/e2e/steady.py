"""The two applications of the resilience tests: one that serves, one that calls it without end and counts everything.

Run as `steady.py serve LOG` and `steady.py call LOG`; the standard library and grpc only. Every request has an id of
its own. The server writes down each id that it executed, the caller what became of each: nothing is tried again.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

import grpc

HTTP, GRPC, TCP = 8080, 9090, 9000
PAUSE = float(os.environ.get("PAUSE", "0.03"))
LIMIT = 15.0
UNARY, STREAM = "/steady.Steady/Unary", "/steady.Steady/Stream"


# Serving


class Server:
    """Executes requests and logs their ids. After SIGTERM it finishes what it has begun."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._busy = 0

    def execute(self, request_id: str) -> None:
        if request_id:
            self._log.write(f"{request_id}\n")

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                path, headers = await read_head(reader)
                await reader.readexactly(int(headers.get("content-length", "0")))
                if path == "/stream":
                    await self._stream(writer)
                    break
                self._busy += 1
                try:
                    self.execute(headers.get("x-id", ""))
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")
                    await writer.drain()
                finally:
                    self._busy -= 1
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"5\r\ntick\n\r\n")
            await writer.drain()
            await asyncio.sleep(PAUSE)

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.execute(request.decode())
        return request

    async def stream(self, requests, context: grpc.aio.ServicerContext):  # type: ignore[no-untyped-def]
        async for request in requests:
            yield request

    async def run(self) -> None:
        rpc = grpc.aio.server()
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Stream": grpc.stream_stream_rpc_method_handler(self.stream),
        }
        rpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("steady.Steady", handlers),))
        rpc.add_insecure_port(f"127.0.0.1:{GRPC}")
        await rpc.start()
        await asyncio.start_server(self.echo, "127.0.0.1", TCP)
        # The last one: readiness is asked for here.
        http = await asyncio.start_server(self.http, "127.0.0.1", HTTP, backlog=1024)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await stopping.wait()
        http.close()
        await rpc.stop(1)
        while self._busy:
            await asyncio.sleep(0.01)


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The second word of the first line, and the headers."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    parts = (line.partition(":") for line in lines)
    return first.split(" ")[1], {name.lower(): value.strip() for name, _, value in parts}


# Calling


class Failed(Exception):
    """A request failed; the text says how."""


class Caller:
    """One worker for each way to call. A line of the log: when it ended, kind, id, seconds, `ok` or the error."""

    def __init__(self, log: TextIO, addresses: dict[str, str]) -> None:
        self._log = log
        self._addresses = addresses
        self._numbers = itertools.count()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for kind, worker in (
                ("keep-alive", self._keep_alive),
                ("close", self._close),
                ("unary", self._unary),
                ("grpc-stream", self._grpc_stream),
                ("tcp", self._tcp),
                ("http-stream", self._http_stream),
                ("dns", self._dns),
            ):
                tasks.create_task(self._for_ever(kind, worker), name=kind)

    async def _for_ever(self, kind: str, worker: Callable[[str], Awaitable[None]]) -> None:
        """A worker ends with its connection, and raises if that was not in order."""
        while True:
            with contextlib.suppress(Exception):  # what it was is in the log; a worker's root
                await worker(kind)
            await asyncio.sleep(PAUSE)

    @contextlib.asynccontextmanager
    async def _counted(self, kind: str, what: str = "request"):  # type: ignore[no-untyped-def]
        request_id = f"{what}-{os.getpid()}-{next(self._numbers)}"
        began = time.monotonic()
        outcome = "ok"
        try:
            async with asyncio.timeout(LIMIT):
                yield request_id
        except BaseException as error:
            outcome = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise
        finally:
            self._log.write(f"{time.time():.3f} {kind} {request_id} {time.monotonic() - began:.3f} {outcome}\n")

    async def _connected(self, service: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._addresses[service], port)

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request_id: str) -> None:
        head = f"POST / HTTP/1.1\r\nhost: http:{HTTP}\r\nx-id: {request_id}\r\ncontent-length: 2\r\n\r\n"
        writer.write(head.encode() + b"hi")
        await writer.drain()
        status, headers = await read_head(reader)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if status != "200":
            raise Failed(f"{status} {body.decode(errors='replace')}")

    async def _keep_alive(self, kind: str) -> None:
        async with self._counted(kind, "connect"):
            reader, writer = await self._connected("http", HTTP)
        try:
            while True:
                async with self._counted(kind) as request_id:
                    await self._post(reader, writer, request_id)
                await asyncio.sleep(PAUSE)
        finally:
            writer.close()

    async def _close(self, kind: str) -> None:
        async with self._counted(kind) as request_id:
            reader, writer = await self._connected("http", HTTP)
            try:
                await self._post(reader, writer, request_id)
            finally:
                writer.close()

    def _channel(self) -> grpc.aio.Channel:
        options = (
            ("grpc.enable_retries", 0),
            ("grpc.default_authority", f"grpc:{GRPC}"),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.insecure_channel(f"{self._addresses['grpc']}:{GRPC}", options=options)

    async def _unary(self, kind: str) -> None:
        async with self._channel() as channel:
            call = channel.unary_unary(UNARY)
            while True:
                async with self._counted(kind) as request_id:
                    await call(request_id.encode())
                await asyncio.sleep(PAUSE)

    async def _grpc_stream(self, kind: str) -> None:
        async with self._channel() as channel:
            stream = channel.stream_stream(STREAM)()
            while True:
                async with self._counted(kind) as request_id:
                    await stream.write(request_id.encode())
                    if await stream.read() != request_id.encode():
                        raise Failed("the stream has ended")
                await asyncio.sleep(PAUSE)

    async def _tcp(self, kind: str) -> None:
        async with self._counted(kind):
            reader, writer = await self._connected("tcp", TCP)
        try:
            while True:
                async with self._counted(kind) as request_id:
                    writer.write(f"{request_id}\n".encode())
                    if await reader.readline() != f"{request_id}\n".encode():
                        raise Failed("the connection has ended")
                await asyncio.sleep(PAUSE)
        finally:
            writer.close()

    async def _http_stream(self, kind: str) -> None:
        async with self._counted(kind):
            reader, writer = await self._connected("http", HTTP)
            writer.write(f"GET /stream HTTP/1.1\r\nhost: http:{HTTP}\r\n\r\n".encode())
            status, _ = await read_head(reader)
            if status != "200":
                raise Failed(status)
        try:
            while True:
                async with self._counted(kind):
                    if b"tick" not in await reader.readuntil(b"tick\n"):
                        raise Failed("something else")
        finally:
            writer.close()

    async def _dns(self, kind: str) -> None:
        async with self._counted(kind):
            await resolve("http")


async def resolve(name: str) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    return found[0][4][0]


async def call(log: TextIO) -> None:
    addresses = {}
    for service in ("http", "grpc", "tcp"):
        while service not in addresses:
            try:
                addresses[service] = await resolve(service)
            except OSError:
                await asyncio.sleep(0.2)
    await Caller(log, addresses).run()


def main() -> None:
    role, path = sys.argv[1:]
    # Line by line: what is said here must be true when somebody is killed.
    with open(path, "a", buffering=1, encoding="utf-8") as log:  # noqa: PTH123
        asyncio.run(Server(log).run() if role == "serve" else call(log))


if __name__ == "__main__":
    main()
