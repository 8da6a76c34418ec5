"""Carries connections that leave the mesh, where the proxies of an ordinary user have no network of their own.

A rootless proxy runs in a namespace that holds `lo` only. It hands outbound connections to a unix socket with a header
that says where to; the agent, which is in the host's network, dials there.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

from msgspec import Struct

from tulle.agent.capture import proxy_protocol
from tulle.agent.capture.accept import accept
from tulle.agent.capture.proxy_protocol import Destination, HeaderError
from tulle.agent.capture.splice import Connection, splice
from tulle.identity.private_socket import bind_private

_log = logging.getLogger(__name__)

_BACKLOG = 512
_NAT64 = IPv6Network("64:ff9b::/96")


class GatewayLimits(Struct, frozen=True):
    """Connections at a time, and seconds to wait for a header and for a dialled connection."""

    connections: int = 4096
    header: float = 5.0
    dial: float = 10.0


def is_outside(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address may be dialled: not this host itself, not its link (cloud metadata is there), not a group,
    not an address that only the mesh uses; nor an IPv4 address of these kinds written as an IPv6 one."""
    plain: IPv4Address | IPv6Address = address
    if isinstance(address, IPv6Address):
        plain = address.ipv4_mapped or (IPv4Address(address.packed[12:]) if address in _NAT64 else address)
    return not (
        plain.is_unspecified or plain.is_loopback or plain.is_link_local or plain.is_multicast or plain.is_reserved
    )


def bind_gateway(path: Path) -> socket.socket:
    """A listening unix socket at `path`, mode 0600, in place of what was there. Raises OSError."""
    bound = bind_private(path)
    bound.listen(_BACKLOG)
    bound.setblocking(False)
    return bound


async def serve_gateway(
    listener: socket.socket,
    limits: GatewayLimits = GatewayLimits(),  # noqa: B008 (frozen)
    allowed: Callable[[IPv4Address | IPv6Address], bool] = is_outside,
) -> None:
    """Carries the connections of a socket from `bind_gateway` until cancelled; then closes them and removes it."""
    path = Path(listener.getsockname())

    async def carry(accepted: socket.socket) -> None:
        near = Connection(*await asyncio.open_connection(sock=accepted))
        try:
            to = await _destination(near.reader, limits)
            if not allowed(to.address):
                raise HeaderError(f"{to.address} may not be reached from the mesh")
            far = await _dial(to, limits)
        except (OSError, TimeoutError, HeaderError, asyncio.IncompleteReadError) as failure:
            _log.info("a connection out of the mesh failed: %s", failure)
            near.abort()
        else:
            await splice(near, far)

    try:
        await accept(listener, carry, limits.connections)
    finally:
        path.unlink(missing_ok=True)


async def _destination(reader: asyncio.StreamReader, limits: GatewayLimits) -> Destination:
    async with asyncio.timeout(limits.header):
        prefix = await reader.readexactly(proxy_protocol.PREFIX_SIZE)
        body = await reader.readexactly(proxy_protocol.body_size(prefix))
    return proxy_protocol.destination(prefix, body)


async def _dial(to: Destination, limits: GatewayLimits) -> Connection:
    async with asyncio.timeout(limits.dial):
        far = Connection(*await asyncio.open_connection(str(to.address), to.port))
    _keep_alive(far.writer.get_extra_info("socket"))
    return far


def _keep_alive(dialled: socket.socket) -> None:
    """Lets the kernel find out within a minute that the other end has vanished."""
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ):
        dialled.setsockopt(level, option, value)
