"""A control plane for tests of the API: a real store in memory, and whatever proxies and nodes the test says."""

import asyncio
from datetime import timedelta

from tulle.api.backend import AuthorityState, NodeState, ProxyState, RemovedNode, Status, XdsResource
from tulle.model.conditions import ACCEPTED, REASON_ACCEPTED, Condition
from tulle.model.names import ObjectRef, ProxyId
from tulle.model.problem import Problem
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Store


class FakeStatusWatch:
    """Tells what the test says has changed."""

    def __init__(self, backend: "FakeBackend") -> None:
        self._backend = backend
        self.told: asyncio.Queue[frozenset[ObjectRef]] = asyncio.Queue()

    def of(self, ref: ObjectRef) -> Status:
        return self._backend.status(ref)

    async def changed(self) -> frozenset[ObjectRef]:
        return await self.told.get()

    def close(self) -> None:
        self._backend.watches.remove(self)


class FakeBackend:
    def __init__(self, store: Store | None = None) -> None:
        self.store: Store = store or MemoryStore()
        self.known_proxies: tuple[ProxyState, ...] = ()
        self.known_nodes: tuple[NodeState, ...] = ()
        self.known_xds: dict[ProxyId, tuple[XdsResource, ...]] = {}
        self.known_authority = AuthorityState("tulle.local", "2036-01-01T00:00:00Z", 1)
        self.apps_left: tuple[str, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self.watches: list[FakeStatusWatch] = []
        self.tokens: list[tuple[str, tuple[str, ...], timedelta]] = []

    def status(self, ref: ObjectRef) -> Status:
        return Status((Condition(ACCEPTED, "True", REASON_ACCEPTED, f"{ref.name} is fine"),))

    def watch_statuses(self) -> FakeStatusWatch:
        watch = FakeStatusWatch(self)
        self.watches.append(watch)
        return watch

    def proxies(self) -> tuple[ProxyState, ...]:
        return self.known_proxies

    def xds(self, proxy: ProxyId) -> tuple[XdsResource, ...] | None:
        return self.known_xds.get(proxy)

    def nodes(self) -> tuple[NodeState, ...]:
        return self.known_nodes

    def authority(self) -> AuthorityState:
        return self.known_authority

    async def remove_node(self, name: str) -> RemovedNode | None:
        known = next((node for node in self.known_nodes if node.name == name), None)
        self.known_nodes = tuple(node for node in self.known_nodes if node is not known)
        return RemovedNode(name, known.workloads, known.proxies + 1, self.apps_left) if known else None

    async def create_token(self, node: str, service_accounts: tuple[str, ...], ttl: timedelta) -> str:
        self.tokens.append((node, service_accounts, ttl))
        return "secret-token"

    def not_ready(self) -> tuple[Problem, ...]:
        return self.problems

    def version(self) -> str:
        return "1.2.3"
