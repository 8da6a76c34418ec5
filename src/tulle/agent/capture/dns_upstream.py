"""Asks other name servers, the host's own unless the mesh names some, what the mesh does not know.

Questions go out from the agent's network, never from a workload's. A question is passed on as it came, over the
transport it came by, so that what an application may ask for does not depend on what is understood here.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tulle.agent.capture.dns_message import answers

RESOLV_CONF = Path("/etc/resolv.conf")
_DNS_PORT = 53
_LOST_BEFORE_DOWN = 3


def name_servers(resolv_conf: str) -> tuple[str, ...]:
    """The addresses of a resolv.conf's name servers; as resolv.conf(5) says, this host where it names none."""
    lines = (line.split() for line in resolv_conf.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver") or ("127.0.0.1",)


class HostServers:
    """The name servers of this host, read again when the file has changed, as it does when a laptop moves."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path
        self._stamp = -1
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[tuple[str, int], ...]:
        """Their addresses and ports."""
        with contextlib.suppress(FileNotFoundError):
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._servers = name_servers(self._path.read_text(encoding="utf-8", errors="replace"))
                self._stamp = stamp
        return tuple((server, _DNS_PORT) for server in self._servers)


class Upstream:
    """Passes questions on. A server that has been silent several times is left alone for `rest` seconds, so that
    questions fail at once while the host has no network. At most `most` questions are on their way."""

    def __init__(
        self,
        servers: Callable[[], tuple[tuple[str, int], ...]],
        limit: float = 2.0,
        rest: float = 3.0,
        most: int = 512,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = servers
        self._limit = limit
        self._rest = rest
        self._free = most
        self._clock = clock
        self._silent: dict[tuple[str, int], tuple[int, float]] = {}

    async def ask(self, packet: bytes, tcp: bool) -> bytes | None:
        """The response of the first server that gives one, with the question's own number; None where none does."""
        if self._free == 0:
            return None
        self._free -= 1
        try:
            for server in self._servers():
                if self._is_down(server):
                    continue
                response = await self._ask(server, packet, tcp)
                if response is not None:
                    return response
        finally:
            self._free += 1
        return None

    def _is_down(self, server: tuple[str, int]) -> bool:
        times, last = self._silent.get(server, (0, 0.0))
        return times >= _LOST_BEFORE_DOWN and self._clock() - last < self._rest

    async def _ask(self, server: tuple[str, int], packet: bytes, tcp: bool) -> bytes | None:
        # A number and a port of their own make a forged response a guess.
        asked = secrets.token_bytes(2) + packet[2:]
        exchange = _over_tcp if tcp else _over_udp
        try:
            response = await asyncio.wait_for(exchange(server, asked), self._limit)
        except TimeoutError:
            times, _ = self._silent.get(server, (0, 0.0))
            self._silent[server] = (times + 1, self._clock())
            return None
        except (OSError, asyncio.IncompleteReadError):
            return None
        self._silent.pop(server, None)
        return packet[:2] + response[2:]


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self.response.done() and answers(data, self._asked):
            self.response.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.response.done():
            self.response.set_exception(ConnectionError("closed"))
            self.response.exception()  # nobody waits any more


async def _over_udp(server: tuple[str, int], asked: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Asking(asked), remote_addr=server)
    try:
        transport.sendto(asked)
        return await protocol.response
    finally:
        transport.close()


async def _over_tcp(server: tuple[str, int], asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server, flags=socket.AI_NUMERICHOST)
    try:
        writer.write(struct.pack("!H", len(asked)) + asked)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        response = await reader.readexactly(size)
    finally:
        writer.close()
    if not answers(response, asked):
        raise ConnectionError("another question was answered")
    return response
