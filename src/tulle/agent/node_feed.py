"""Tells an agent what it has to run and where names are: its own subscription, with the same memory as a proxy's.

While the control plane is away the node goes on running what it ran, and names that were looked up before are still
answered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from tulle.agent.link import Link, UpstreamSettings
from tulle.agent.relay_state import Changed
from tulle.model.keys import NameKey, NodeKey
from tulle.stream.protocol import ABSENT, PENDING, Absent, Pending, Unsubscribed
from tulle.view.types import NameView, NodeView
from tulle.xds.names import name_of
from tulle.xds.resource import Resource
from tulle.xds.type_urls import NAME

_REMEMBERED_NAMES = 10_000


def _away(type_url: str, name: str) -> Absent | Pending:
    """A name that is not known fails at once; whoever looks it up may try again."""
    return ABSENT if type_url == NAME else PENDING


class NodeFeed:
    """The feed of `node`, whose agent speaks as `node_id` on its stream. `lookup_limit`: seconds that a look-up may
    wait for the control plane. `opened` hears of every new stream to it."""

    def __init__(
        self,
        node: str,
        node_id: str,
        path: Path,
        upstream: UpstreamSettings,
        lookup_limit: float = 2,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = Link(node_id, path, upstream, self._tell, _away, opened)
        self._view_name = name_of(NodeKey(node))
        self._lookup_limit = lookup_limit
        self._view_changed = asyncio.Event()
        self._view_changed.set()
        self._lookups: dict[str, _Waiting] = {}
        self._used: OrderedDict[str, None] = OrderedDict()
        type_url, name = self._view_name
        self._link.carry_out(self._link.state.want(type_url, (name,)))
        for remembered in self._link.state.held(NAME):
            self._use(remembered)
        self.run = self._link.run

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def view(self) -> NodeView | None:
        """The newest view; None while none has ever been received."""
        found = self._link.state.get(*self._view_name)
        return msgspec.json.decode(found.body, type=NodeView) if isinstance(found, Resource) else None

    async def views(self) -> AsyncIterator[NodeView]:
        """The view now and after each change; of several changes only the last. For one reader."""
        while True:
            await self._view_changed.wait()
            self._view_changed.clear()
            if (view := self.view) is not None:
                yield view

    async def lookup(self, client_namespace: str, name: str) -> tuple[str, ...] | None:
        """The addresses of a name (lower case, no trailing dot) as workloads of a namespace see it. None: the mesh has
        no such name, or cannot know it now."""
        _, resource = name_of(NameKey(client_namespace, name))
        self._use(resource)
        if self._link.state.get(NAME, resource) is PENDING:
            await self._wait(resource)
        found = self._link.state.get(NAME, resource)
        return msgspec.json.decode(found.body, type=NameView).addresses if isinstance(found, Resource) else None

    def _use(self, resource: str) -> None:
        if resource not in self._used:
            self._link.carry_out(self._link.state.want(NAME, (resource,)))
        self._used[resource] = None
        self._used.move_to_end(resource)
        if len(self._used) > _REMEMBERED_NAMES:
            oldest, _ = self._used.popitem(last=False)
            self._link.carry_out(self._link.state.heard(Unsubscribed(NAME, (oldest,))))

    async def _wait(self, resource: str) -> None:
        """Until something is said of the name, or the limit is over."""
        waiting = self._lookups.setdefault(resource, _Waiting())
        waiting.count += 1
        try:
            async with asyncio.timeout(self._lookup_limit):
                await waiting.said.wait()
        except TimeoutError:
            return
        finally:
            waiting.count -= 1
            if waiting.count == 0:
                del self._lookups[resource]

    def _tell(self, changed: Changed) -> None:
        if changed.type_url == self._view_name[0]:
            self._view_changed.set()
        if changed.type_url == NAME:
            for resource in changed.names:
                if (waiting := self._lookups.get(resource)) is not None:
                    waiting.said.set()


class _Waiting:
    """Look-ups of one name that wait for the control plane."""

    def __init__(self) -> None:
        self.said = asyncio.Event()
        self.count = 0
