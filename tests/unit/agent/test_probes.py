"""Probes against real servers: what succeeds, what fails, and that nothing but a verdict comes out."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tulle.agent.capture.process import LaunchError
from tulle.agent.probes import Prober
from tulle.view.types import ExecProbeView, GrpcProbeView, HttpProbeView, ProbeView, TcpProbeView

Check = HttpProbeView | TcpProbeView | GrpcProbeView | ExecProbeView


async def dial(port: int) -> socket.socket:
    """Inside a workload's namespace this is a dial there."""
    made = socket.socket()
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return made


async def run(command: tuple[str, ...]) -> bool:
    match command:
        case ("hang",):
            await asyncio.sleep(1000)
        case ("missing",):
            raise LaunchError("there is no such program")
    return command == ("true",)


async def succeeds(check: Check, timeout: float = 20) -> bool:
    return await Prober(dial, run).check(ProbeView(check, timeout=timeout))


@contextlib.asynccontextmanager
async def answering(response: bytes, heard: list[bytes] | None = None) -> AsyncIterator[int]:
    """A server that answers every connection so; empty: not at all."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        if not response:
            await reader.read()
        writer.write(response)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_tcp_is_whether_it_accepts(closed: int) -> None:
    async with answering(b"") as port:
        assert await succeeds(TcpProbeView(port))
    assert not await succeeds(TcpProbeView(closed))


@pytest.mark.parametrize(
    ("response", "success"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", True),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.6\r\n", False),
        (b"HTTP/1.1 200 OK\r\nbroken", False),
        (b"x" * 1_000_000, False),
    ],
)
async def test_http_is_a_status_from_200_to_399(response: bytes, success: bool) -> None:
    async with answering(response) as port:
        assert await succeeds(HttpProbeView(port)) is success


async def test_http_asks_for_its_path() -> None:
    heard: list[bytes] = []
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", heard) as port:
        assert await succeeds(HttpProbeView(port, "/healthz?full=1"))
    assert heard[0].startswith(b"GET /healthz?full=1 HTTP/1.1\r\n")


async def test_http_without_a_server_fails(closed: int) -> None:
    assert not await succeeds(HttpProbeView(closed))


async def test_no_answer_within_the_timeout_fails() -> None:
    async with answering(b"") as port:
        assert not await succeeds(HttpProbeView(port), timeout=0.05)


@contextlib.asynccontextmanager
async def serving_health() -> AsyncIterator[tuple[int, health.aio.HealthServicer]]:
    servicer = health.aio.HealthServicer()
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, servicer
    finally:
        await server.stop(None)


async def test_grpc_asks_the_health_service(closed: int) -> None:
    async with serving_health() as (port, servicer):
        assert await succeeds(GrpcProbeView(port))
        await servicer.set("shop.Cart", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert not await succeeds(GrpcProbeView(port, "shop.Cart"))
        await servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
        assert await succeeds(GrpcProbeView(port, "shop.Cart"))
        assert not await succeeds(GrpcProbeView(port, "unknown"))
    assert not await succeeds(GrpcProbeView(closed))


async def test_what_does_not_speak_grpc_fails() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert not await succeeds(GrpcProbeView(port), timeout=1)


@pytest.mark.parametrize(("command", "success"), [("true", True), ("false", False), ("missing", False)])
async def test_exec_is_whether_the_command_succeeds(command: str, success: bool) -> None:
    assert await succeeds(ExecProbeView((command,))) is success


async def test_a_command_that_hangs_fails() -> None:
    assert not await succeeds(ExecProbeView(("hang",)), timeout=0.05)
