"""Speaks to the admin interface of one Envoy on its unix socket.

The admin interface is on no network; only who may open a socket of mode 0600 in a directory of mode 0700 can use it.
"""

import asyncio
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from tulle.agent.errors import AdminError

Answer = TypeVar("Answer")

_LARGEST = 32 * 2**20


class EnvoyNode(Struct, frozen=True):
    id: str = ""


class ServerInfo(Struct, frozen=True):
    """The part of Envoy's /server_info that is read. `state` is LIVE, DRAINING, PRE_INITIALIZING or INITIALIZING."""

    state: str
    version: str
    node: EnvoyNode = EnvoyNode()


class SocketAddress(Struct, frozen=True):
    address: str = ""
    port_value: int = 0


class LocalAddress(Struct, frozen=True):
    socket_address: SocketAddress = SocketAddress()


class ListenerStatus(Struct, frozen=True):
    """One of Envoy's /listeners: those that listen now, without those that could not."""

    name: str
    local_address: LocalAddress = LocalAddress()


class _Listeners(Struct, frozen=True):
    listener_statuses: tuple[ListenerStatus, ...] = ()


class EnvoyAdmin:
    """Asks and orders; every call has a limit of `timeout` seconds and of `largest` bytes for the answer, and raises
    AdminError where it fails: a proxy is not trusted to be one that works."""

    def __init__(self, socket: Path, timeout: float, largest: int = _LARGEST) -> None:
        self._socket = socket
        self._timeout = timeout
        self._largest = largest

    async def server_info(self) -> ServerInfo:
        return await self._get("/server_info", ServerInfo)

    async def listening_ports(self) -> dict[str, int]:
        """The ports of the listeners that listen, by name; of one with several addresses the first."""
        found = await self._get("/listeners?format=json", _Listeners)
        return {each.name: each.local_address.socket_address.port_value for each in found.listener_statuses}

    async def drain(self) -> None:
        """Sends clients elsewhere (`connection: close`, GOAWAY), then stops listening; the process stays."""
        await self._call("POST", "/drain_listeners?graceful")

    async def open_connections(self) -> int | None:
        """How many connections the listeners have; None where the statistics of listeners are not kept."""
        body = await self._call("GET", r"/stats?filter=^listener\..*\.downstream_cx_active$")
        try:
            counts = [
                int(count)
                for name, _, count in (line.rpartition(": ") for line in body.decode().splitlines())
                if not name.startswith("listener.admin.") and ".worker_" not in name
            ]
        except ValueError as error:
            raise self._nonsense(error) from error
        return sum(counts) if counts else None

    async def _get(self, path: str, answer: type[Answer]) -> Answer:
        body = await self._call("GET", path)
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._nonsense(error) from error

    async def _call(self, method: str, path: str) -> bytes:
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket), verify=False)
        try:
            # The client's own limit is for each read, and there may be any number of them.
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(transport=transport, timeout=self._timeout) as client,
                client.stream(method, f"http://envoy{path}") as answer,
            ):
                return await self._body(answer)
        except (httpx.HTTPError, OSError) as error:
            raise AdminError(f"{self._socket}: {method} {path}: {error!r}") from error

    async def _body(self, answer: httpx.Response) -> bytes:
        asked = f"{answer.request.method} {answer.request.url.raw_path.decode()}"
        if answer.status_code != httpx.codes.OK:
            raise AdminError(f"{self._socket}: {asked}: status {answer.status_code}")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > self._largest:
                raise AdminError(f"{self._socket}: {asked}: more than {self._largest} bytes")
        return bytes(body)

    def _nonsense(self, error: Exception) -> AdminError:
        return AdminError(f"{self._socket} does not answer as an Envoy: {error}")
