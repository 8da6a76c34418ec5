"""Questions go to the host's servers, in order, and never wait for one that is known to be away."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from tulle.agent.capture.dns_upstream import HostServers, Upstream, name_servers

QUESTION = DNSRecord.question("api.example.com").pack()


class Server(asyncio.DatagramProtocol):
    """A name server; `lies` first sends answers that do not fit."""

    def __init__(self, silent: bool = False, lies: bool = False) -> None:
        self.asked: list[bytes] = []
        self._silent = silent
        self._lies = lies

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.asked.append(data)
        if self._lies:
            self._transport.sendto(b"nonsense", addr)
            self._transport.sendto(bytes([data[0] ^ 1]) + response(data)[1:], addr)
        if not self._silent:
            self._transport.sendto(response(data), addr)


def response(question: bytes) -> bytes:
    reply = DNSRecord.parse(question).reply()
    reply.add_answer(RR(reply.q.qname, QTYPE.A, rdata=A("192.0.2.1")))
    return bytes(reply.pack())


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


def closed_port() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()  # type: ignore[no-any-return]


@pytest.mark.parametrize("lies", [False, True])
async def test_the_response_has_the_questions_own_number(lies: bool) -> None:
    server = Server(lies=lies)
    async with running(server) as address:
        got = await Upstream(lambda: (address,)).ask(QUESTION, tcp=False)
    assert got is not None
    assert got[:2] == QUESTION[:2]
    assert [str(found.rdata) for found in DNSRecord.parse(got).rr] == ["192.0.2.1"]
    assert server.asked[0][2:] == QUESTION[2:]


async def test_the_next_server_is_asked_where_one_is_away() -> None:
    async with running(Server()) as address:
        assert await Upstream(lambda: (closed_port(), address)).ask(QUESTION, tcp=False) is not None


@pytest.mark.parametrize("tcp", [False, True])
async def test_without_servers_there_is_no_response(tcp: bool) -> None:
    assert await Upstream(lambda: ()).ask(QUESTION, tcp) is None
    assert await Upstream(lambda: (closed_port(),)).ask(QUESTION, tcp) is None


async def test_a_silent_server_is_left_alone_for_a_while() -> None:
    now = 0.0
    server = Server(silent=True)
    async with running(server) as address:
        upstream = Upstream(lambda: (address,), limit=0.01, rest=3.0, clock=lambda: now)
        for _ in range(5):
            assert await upstream.ask(QUESTION, tcp=False) is None
        assert len(server.asked) == 3
        now = 4.0
        await upstream.ask(QUESTION, tcp=False)
        assert len(server.asked) == 4


async def test_only_so_many_questions_are_on_their_way() -> None:
    server = Server(silent=True)
    async with running(server) as address:
        upstream = Upstream(lambda: (address,), most=1)
        first = asyncio.create_task(upstream.ask(QUESTION, tcp=False))
        while not server.asked:
            await asyncio.sleep(0.001)
        assert await upstream.ask(QUESTION, tcp=False) is None
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
    assert len(server.asked) == 1


async def test_tcp_questions_are_asked_over_tcp() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        reply = response(await reader.readexactly(size))
        writer.write(struct.pack("!H", len(reply)) + reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        got = await Upstream(lambda: (server.sockets[0].getsockname(),)).ask(QUESTION, tcp=True)
    assert got is not None
    assert got[:2] == QUESTION[:2]


def test_name_servers_of_a_resolv_conf() -> None:
    text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 \nnameserver\noptions x\n"
    assert name_servers(text) == ("10.0.0.1", "fe80::1%eth0")
    assert name_servers("") == ("127.0.0.1",)


def test_the_hosts_servers_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = HostServers(path)
    assert servers() == ()
    path.write_text("nameserver 10.0.0.1\n")
    assert servers() == (("10.0.0.1", 53),)
    path.write_text("nameserver 10.0.0.2\n")
    os.utime(path, ns=(1, 1))
    assert servers() == (("10.0.0.2", 53),)
    path.unlink()
    assert servers() == (("10.0.0.2", 53),)
