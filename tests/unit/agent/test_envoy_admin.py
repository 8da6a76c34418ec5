"""The admin client reads what an Envoy says, and calls everything else an error."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tulle.agent.envoy_admin import EnvoyAdmin, EnvoyNode, ServerInfo
from tulle.agent.errors import AdminError


@contextlib.asynccontextmanager
async def answering(path: Path, body: str, status: str = "200 OK") -> AsyncIterator[list[str]]:
    """A server on a socket that gives every request the same answer. Yields the requests' first lines."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode(errors="surrogateescape"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield requests


async def test_server_info(tmp_path: Path) -> None:
    body = '{"version": "0/1.40.0/Clean", "state": "LIVE", "node": {"id": "node~n1", "cluster": "tulle"}, "more": 1}'
    async with answering(tmp_path / "s", body) as requests:
        info = await EnvoyAdmin(tmp_path / "s", 10).server_info()
        assert info == ServerInfo("LIVE", "0/1.40.0/Clean", EnvoyNode("node~n1"))
        assert requests == ["GET /server_info HTTP/1.1"]


async def test_listening_ports(tmp_path: Path) -> None:
    body = """{"listener_statuses": [
      {"name": "inbound/shop/web-1",
       "local_address": {"socket_address": {"address": "10.0.0.1", "port_value": 15100}}},
      {"name": "outbound/shop/web-1",
       "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
       "additional_local_addresses": []}
    ]}"""
    async with answering(tmp_path / "s", body) as requests:
        ports = await EnvoyAdmin(tmp_path / "s", 10).listening_ports()
        assert ports == {"inbound/shop/web-1": 15100, "outbound/shop/web-1": 15001}
        assert requests == ["GET /listeners?format=json HTTP/1.1"]
    async with answering(tmp_path / "t", "{}"):
        assert await EnvoyAdmin(tmp_path / "t", 10).listening_ports() == {}


async def test_drain_is_an_order(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", "OK\n") as requests:
        await EnvoyAdmin(tmp_path / "s", 10).drain()
        assert requests == ["POST /drain_listeners?graceful HTTP/1.1"]


@pytest.mark.parametrize(
    ("statistics", "connections"),
    [
        ("listener.a.downstream_cx_active: 2\nlistener.b.downstream_cx_active: 1\n", 3),
        ("listener.a.downstream_cx_active: 2\nlistener.a.worker_0.downstream_cx_active: 2\n", 2),
        ("listener.admin.downstream_cx_active: 1\nlistener.a.downstream_cx_active: 0\n", 0),
        ("listener.admin.downstream_cx_active: 1\n", None),
        ("", None),
    ],
)
async def test_open_connections(tmp_path: Path, statistics: str, connections: int | None) -> None:
    async with answering(tmp_path / "s", statistics):
        assert await EnvoyAdmin(tmp_path / "s", 10).open_connections() == connections


async def test_no_answer_or_another_one_is_an_error(tmp_path: Path) -> None:
    admin = EnvoyAdmin(tmp_path / "s", 10)
    with pytest.raises(AdminError):
        await admin.server_info()
    async with answering(tmp_path / "s", "hello"):
        with pytest.raises(AdminError, match="does not answer as an Envoy"):
            await admin.server_info()
    for odd in ('{"state": "\udcff"}', '{"x": ' + "[" * 10_000):
        async with answering(tmp_path / "s", odd):
            with pytest.raises(AdminError, match="does not answer as an Envoy"):
                await admin.server_info()
    async with answering(tmp_path / "s", "", "503 Service Unavailable"):
        with pytest.raises(AdminError, match="status 503"):
            await admin.drain()


async def test_a_limit(tmp_path: Path) -> None:
    async with await asyncio.start_unix_server(lambda reader, writer: None, tmp_path / "s"):
        with pytest.raises(AdminError, match="Timeout"):
            await EnvoyAdmin(tmp_path / "s", 0.05).server_info()


async def test_an_answer_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """Whatever has become of the proxy: that it gives no answer has to be found out."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.005)

    async with await asyncio.start_unix_server(drip, tmp_path / "s"):
        with pytest.raises(AdminError, match="Timeout"):
            await EnvoyAdmin(tmp_path / "s", 0.1).server_info()


async def test_an_answer_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", "x" * 1_000):
        with pytest.raises(AdminError, match="more than 100 bytes"):
            await EnvoyAdmin(tmp_path / "s", 10, largest=100).server_info()


@pytest.mark.parametrize("statistics", ["listener.a.downstream_cx_active: many\n", "listener.a.downstream_cx_active\n"])
async def test_statistics_that_make_no_sense_are_an_error(tmp_path: Path, statistics: str) -> None:
    async with answering(tmp_path / "s", statistics):
        with pytest.raises(AdminError, match="does not answer as an Envoy"):
            await EnvoyAdmin(tmp_path / "s", 10).open_connections()
