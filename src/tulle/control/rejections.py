"""Remembers what proxies refused, and in which words, so that the objects behind it can say so."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct

from tulle.model.names import AgentId, ProxyId

Client: TypeAlias = ProxyId | AgentId


class Rejection(Struct, frozen=True):
    """A resource that a client refused; it goes on with the version before."""

    client: Client
    type_url: str
    name: str
    message: str


class Rejections:
    """One rejection per client and resource, until the client takes it, no longer wants it, or leaves."""

    def __init__(self) -> None:
        self._by_client: dict[Client, dict[tuple[str, str], Rejection]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after every change."""
        self._listeners.append(listener)

    def refused(self, client: Client, type_url: str, name: str, message: str) -> None:
        self._by_client.setdefault(client, {})[type_url, name] = Rejection(client, type_url, name, message)
        self._tell()

    def over(self, client: Client, type_url: str, names: Iterable[str]) -> None:
        """The client has taken these resources, or does not want them any more."""
        known = self._by_client.get(client)
        if known:
            for name in names:
                known.pop((type_url, name), None)
            self._tell()

    def forget(self, client: Client) -> None:
        if self._by_client.pop(client, None):
            self._tell()

    def of(self, client: Client) -> tuple[Rejection, ...]:
        return tuple(self._by_client.get(client, {}).values())

    def all(self) -> tuple[Rejection, ...]:
        return tuple(r for known in self._by_client.values() for r in known.values())

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
