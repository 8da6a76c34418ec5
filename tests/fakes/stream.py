"""A stream as its host sees it, without a client behind it: says who it is and remembers what it was told."""

from collections.abc import Iterable
from datetime import datetime

from envoy.config.core.v3 import base_pb2

from tulle.stream.peer import Peer


class FakeStream:
    def __init__(
        self,
        node_id: str,
        spiffe_id: str | None = "spiffe://tulle.local/tulle/node/n1",
        begins: datetime | None = None,
        expires: datetime | None = None,
    ) -> None:
        self.node = base_pb2.Node(id=node_id)
        self.peer = Peer("ipv4:127.0.0.1:1", spiffe_id, begins, expires)
        self.in_sync = True
        self.names: dict[str, set[str]] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.told: set[tuple[str, str]] = set()
        self.told_roots: set[str] = set()
        self.refusals: list[str] = []

    def changed(self, names: Iterable[tuple[str, str]]) -> None:
        self.told.update(names)

    def roots_changed(self, type_url: str) -> None:
        self.told_roots.add(type_url)

    def acknowledged(self, type_url: str) -> dict[str, str]:
        return self.versions.get(type_url, {})

    def subscriptions(self, type_url: str) -> frozenset[str]:
        return frozenset(self.names.get(type_url, ()))

    def close(self) -> None:
        raise AssertionError("nobody closes it")

    def refuse(self, reason: str) -> None:
        self.refusals.append(reason)

    def heard(self) -> tuple[set[tuple[str, str]], set[str]]:
        """What it was told since it was last asked: names, and types whose roots differ."""
        heard = self.told, self.told_roots
        self.told, self.told_roots = set(), set()
        return heard
