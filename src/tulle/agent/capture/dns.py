"""Answers the DNS questions of applications, from inside their namespaces.

Names of services are answered from the mesh, everything else by the host's name servers. An application has no other
resolver: its namespace redirects DNS to any address to the sockets served here.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from dnslib import RCODE
from msgspec import Struct

from tulle.agent.capture import dns_message
from tulle.agent.capture.accept import accept
from tulle.agent.capture.dns_message import CLUSTER_DOMAIN, Malformed, Query
from tulle.agent.capture.dns_upstream import Upstream
from tulle.agent.capture.namespace import bind_tcp, bind_udp
from tulle.agent.capture.netlink import has_ipv6
from tulle.agent.capture.rules import DNS_PORT

_log = logging.getLogger(__name__)

_LOCALHOST = ("127.0.0.1", "::1")
_UDP_SIZE = 512
_TCP_IDLE = 10.0


class Resolver(Protocol):
    """Knows the addresses of the mesh's names."""

    async def lookup(self, client_namespace: str, name: str) -> tuple[str, ...] | None:
        """The addresses of both IP versions that `name` has for a client in `client_namespace`; None where the mesh
        does not know it.

        `name` is lower-case: `catalog`, `catalog.shop` (for all longer forms too), or any other name such as
        `api.example.com`.
        """
        ...


class DnsLimits(Struct, frozen=True):
    """Per socket: questions at a time over UDP, TCP connections, questions over one TCP connection."""

    questions: int = 256
    connections: int = 32
    per_connection: int = 1000


class DnsSockets(Struct, frozen=True):
    """The sockets of one workload's DNS, bound in its namespace; `serve_dns` closes them."""

    udp: tuple[socket.socket, ...]
    tcp: tuple[socket.socket, ...]

    def close(self) -> None:
        for opened in (*self.udp, *self.tcp):
            opened.close()


def bind_dns(network: Path, port: int = DNS_PORT) -> DnsSockets:
    """Binds a workload's DNS sockets in the namespace at `network`. Blocks for some milliseconds; raises OSError.

    On the two loopback addresses and not on all: answers must come from the address that was asked.
    """
    addresses = _LOCALHOST if has_ipv6() else _LOCALHOST[:1]
    with ExitStack() as opened:
        udp = tuple(opened.enter_context(bind_udp(network, address, port)) for address in addresses)
        tcp = tuple(opened.enter_context(bind_tcp(network, address, port)) for address in addresses)
        opened.pop_all()
    return DnsSockets(udp, tcp)


async def serve_dns(
    sockets: DnsSockets,
    namespace: str,
    resolver: Resolver,
    upstream: Upstream,
    domains: Callable[[], Sequence[str]] = lambda: (CLUSTER_DOMAIN,),
    limits: DnsLimits = DnsLimits(),  # noqa: B008 (frozen)
) -> None:
    """Answers the questions of a workload in `namespace` until cancelled; then closes the sockets. `domains` gives
    the mesh's present ones."""
    answering = _Answering(namespace, resolver, upstream, domains)

    async def converse(accepted: socket.socket) -> None:
        await _converse(accepted, answering, limits.per_connection)

    try:
        async with asyncio.TaskGroup() as tasks:
            for bound in sockets.tcp:
                tasks.create_task(accept(bound, converse, limits.connections), name="dns over tcp")
            await _serve_udp(sockets.udp, lambda: _UdpServer(answering, tasks, limits.questions))
    finally:
        sockets.close()


class _Answering:
    """How a workload's questions are answered."""

    def __init__(
        self, namespace: str, resolver: Resolver, upstream: Upstream, domains: Callable[[], Sequence[str]]
    ) -> None:
        self._namespace = namespace
        self._resolver = resolver
        self._upstream = upstream
        self._domains = domains

    async def reply(self, packet: bytes, tcp: bool) -> bytes | None:
        """What to answer to a packet; None for nothing."""
        parsed = dns_message.parse(packet)
        if isinstance(parsed, Malformed):
            return parsed.reply
        try:
            reply = await self._answer(parsed, tcp)
        except Exception:  # a task's root: the next question must be answered all the same
            _log.exception("a DNS question could not be answered")
            return dns_message.failed(parsed)
        return reply

    async def _answer(self, query: Query, tcp: bool) -> bytes:
        if not query.internet:
            return dns_message.failed(query, RCODE.REFUSED)
        if query.name is not None:
            if query.name == "localhost" or query.name.endswith(".localhost"):
                return dns_message.answer(query, tuple(map(ip_address, _LOCALHOST)))
            known = dns_message.mesh_name(query.name, self._domains())
            if known is None:
                return dns_message.no_such_name(query)
            found = await self._resolver.lookup(self._namespace, known.name)
            if found is not None:
                reply = dns_message.answer(query, tuple(map(ip_address, found)))
                return reply if tcp or len(reply) <= _UDP_SIZE else dns_message.truncated(query)
            if known.ours:
                return dns_message.no_such_name(query)
        response = await self._upstream.ask(query.packet, tcp)
        return dns_message.failed(query) if response is None else response


class _UdpServer(asyncio.DatagramProtocol):
    def __init__(self, answering: _Answering, tasks: asyncio.TaskGroup, most: int) -> None:
        self._answering = answering
        self._tasks = tasks
        self._free = most
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if self._free:  # else it is dropped, as a full socket would
            self._free -= 1
            self._tasks.create_task(self._respond(data, addr), name="dns question")

    async def _respond(self, data: bytes, addr: tuple[str | object, int]) -> None:
        try:
            reply = await self._answering.reply(data, tcp=False)
            if reply is not None and self._transport is not None:
                self._transport.sendto(reply, addr)
        finally:
            self._free += 1


async def _serve_udp(sockets: tuple[socket.socket, ...], server: Callable[[], _UdpServer]) -> None:
    loop = asyncio.get_running_loop()
    transports: list[asyncio.BaseTransport] = []
    try:
        for bound in sockets:
            transport, _ = await loop.create_datagram_endpoint(server, sock=bound)
            transports.append(transport)
        await asyncio.Event().wait()
    finally:
        for opened in transports:
            opened.close()


async def _converse(accepted: socket.socket, answering: _Answering, most: int) -> None:
    try:
        reader, writer = await asyncio.open_connection(sock=accepted)
        try:
            for _ in range(most):
                async with asyncio.timeout(_TCP_IDLE):
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    packet = await reader.readexactly(size)
                reply = await answering.reply(packet, tcp=True)
                if reply is None:
                    return
                async with asyncio.timeout(_TCP_IDLE):
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        finally:
            writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return  # the application went away, or was idle
