"""Serves every stream from the one compiler, and tells each what changed of what it asked for.

Who asks for what is kept by key, so a change costs as much as there are clients of what it touches.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from tulle.control.compile import Changes, Compiler
from tulle.control.rejections import Client, Rejections
from tulle.identity.errors import InvalidSpiffeId
from tulle.identity.spiffe_id import NodeIdentity, parse
from tulle.model.keys import (
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NodeKey,
    PassthroughClusterKey,
    VirtualHostKey,
)
from tulle.model.names import AgentId, ProxyId
from tulle.stream import ABSENT, WILDCARD, Absent, Acked, Event, Nacked, Oversized, Source, Subscribed, Unsubscribed
from tulle.stream.server import Refused, Stream
from tulle.view import agent_may_ask
from tulle.xds import type_urls
from tulle.xds.names import PLACEHOLDER_AUTHORITY, key_of, name_of
from tulle.xds.resource import Resource

log = logging.getLogger(__name__)

OwnKey: TypeAlias = ListenerKey | LocalClusterKey | IdentitiesClusterKey | PassthroughClusterKey
"""What belongs to single workloads and goes with them, however it was asked for."""


class ProxySource:
    """What one proxy may see."""

    def __init__(self, compiler: Compiler, proxy: ProxyId) -> None:
        self._compiler = compiler
        self._proxy = proxy

    def get(self, type_url: str, name: str) -> Resource | Absent:
        key = key_of(type_url, name)
        if key is None or not self._compiler.scope(self._proxy).allows(key):
            return ABSENT
        return self._compiler.resource(key) or ABSENT

    def roots(self, type_url: str) -> tuple[str, ...]:
        """Listeners and clusters of its own workloads. Of virtual hosts only the placeholder, so that Envoy knows
        that the first fetch is over: the others it asks for."""
        return tuple(name_of(key)[1] for key in root_keys(self._compiler, self._proxy, type_url))


def root_keys(compiler: Compiler, client: Client, type_url: str) -> Iterable[Key]:
    """What the wildcard of a type stands for."""
    if isinstance(client, AgentId):
        return [NodeKey(client.node)] if type_url == type_urls.NODE else ()
    scope = compiler.scope(client)
    match type_url:
        case type_urls.LISTENER:
            return scope.listeners
        case type_urls.CLUSTER:
            return scope.clusters
        case type_urls.VIRTUAL_HOST:
            return [VirtualHostKey(namespace, PLACEHOLDER_AUTHORITY) for namespace in scope.namespaces]
    return ()


class AgentSource:
    """What an agent asks for itself."""

    def __init__(self, compiler: Compiler, agent: AgentId) -> None:
        self._compiler = compiler
        self._agent = agent

    def get(self, type_url: str, name: str) -> Resource | Absent:
        key = key_of(type_url, name)
        if key is None or not agent_may_ask(self._agent.node, key):
            return ABSENT
        return self._compiler.resource(key) or ABSENT

    def roots(self, type_url: str) -> tuple[str, ...]:
        return tuple(name_of(key)[1] for key in root_keys(self._compiler, self._agent, type_url))


class Streams:
    """The host of all streams; see `tulle.stream.StreamHost`."""

    def __init__(
        self, compiler: Compiler, rejections: Rejections, trust_domain: str, is_enrolled: Callable[[str], bool]
    ) -> None:
        self._compiler = compiler
        self._rejections = rejections
        self._trust_domain = trust_domain
        self._is_enrolled = is_enrolled
        self._clients: dict[Stream, Client] = {}
        self._count: Counter[Client] = Counter()  # of a client's streams: a new one may come before the old has gone
        self._asking: defaultdict[Key, set[Stream]] = defaultdict(set)
        self._asked: dict[Stream, set[Key]] = {}

    def open(self, stream: Stream) -> Source:
        client = self._client(stream)
        self._clients[stream] = client
        self._count[client] += 1
        self._asked[stream] = set()
        if isinstance(client, AgentId):
            return AgentSource(self._compiler, client)
        return ProxySource(self._compiler, client)

    def closed(self, stream: Stream) -> None:
        client = self._clients.pop(stream)
        self._drop(stream, self._asked[stream])
        del self._asked[stream]
        self._count[client] -= 1
        if not self._count[client]:
            del self._count[client]
            self._rejections.forget(client)
            if isinstance(client, ProxyId):
                self._compiler.forget([client])

    def event(self, stream: Stream, event: Event) -> None:
        client = self._clients[stream]
        match event:
            case Subscribed(type_url, names):
                self._ask(stream, self._keys(client, type_url, names))
            case Unsubscribed(type_url, names):
                self._leave(stream, client, type_url, names)
                self._rejections.over(client, type_url, names)
            case Acked(type_url, versions):
                self._rejections.over(client, type_url, versions)
            case Nacked(type_url, _, message):
                log.warning("%s refuses %s: %s", client, event.subject, message)
                if event.culprit is not None:
                    self._rejections.refused(client, type_url, event.culprit, message)
            case Oversized(type_url, name, _, size):
                self._rejections.refused(client, type_url, name, f"{size} bytes are too many to send")

    def publish(self, changes: Changes) -> None:
        """Wakes exactly the streams that asked for something that changed."""
        touched: defaultdict[Stream, list[tuple[str, str]]] = defaultdict(list)
        for key in changes.keys:
            for stream in self._asking.get(key, ()):
                touched[stream].append(name_of(key))
        for stream, client in self._clients.items() if changes.proxies else ():
            if client in changes.proxies:
                self._follow_scope(stream, client)
        for stream, names in touched.items():
            stream.changed(names)

    def clients(self) -> dict[Client, Stream]:
        """Who is connected; of two streams of one client the newer."""
        return {client: stream for stream, client in self._clients.items()}

    def refuse(self, node: str) -> int:
        """Ends all streams of a node that is none any more; how many."""
        streams = [stream for stream, client in self._clients.items() if client.node == node]
        for stream in streams:
            stream.refuse(f"node {node} is not enrolled")
        return len(streams)

    def _follow_scope(self, stream: Stream, client: Client) -> None:
        """The client sees more or less than before: its roots differ, and what it asked for by name may now be
        something for it, or nothing."""
        stream.changed([name_of(key) for key in self._asked[stream]])
        for type_url in (type_urls.CLUSTER, type_urls.LISTENER, type_urls.VIRTUAL_HOST):
            if WILDCARD in stream.subscriptions(type_url):
                roots = self._keys(client, type_url, (WILDCARD,))
                self._ask(stream, roots)
                stream.roots_changed(type_url)
                gone: set[Key] = {k for k in self._asked[stream] if isinstance(k, OwnKey) and name_of(k)[0] == type_url}
                self._drop(stream, gone.difference(roots))

    def _keys(self, client: Client, type_url: str, names: Iterable[str]) -> list[Key]:
        keys: list[Key] = []
        for name in names:
            if name == WILDCARD:
                keys += root_keys(self._compiler, client, type_url)
            elif (key := key_of(type_url, name)) is not None:
                keys.append(key)
        return keys

    def _ask(self, stream: Stream, keys: Iterable[Key]) -> None:
        for key in keys:
            self._asking[key].add(stream)
            self._asked[stream].add(key)

    def _leave(self, stream: Stream, client: Client, type_url: str, names: Iterable[str]) -> None:
        """What was asked for by its name and by the wildcard too is still asked for by the other."""
        left = set(self._keys(client, type_url, names))
        still = stream.subscriptions(type_url)
        if WILDCARD in still:
            left.difference_update(root_keys(self._compiler, client, type_url))
        self._drop(stream, {key for key in left if name_of(key)[1] not in still})

    def _drop(self, stream: Stream, keys: set[Key]) -> None:
        """Forgets who asked, and what nobody asks for any more."""
        idle = []
        for key in keys & self._asked[stream]:
            self._asked[stream].discard(key)
            asking = self._asking[key]
            asking.discard(stream)
            if not asking:
                del self._asking[key]
                idle.append(key)
        self._compiler.forget(idle)

    def _client(self, stream: Stream) -> Client:
        """Who the stream is for: an agent, or a proxy of the node whose certificate the agent holds."""
        try:
            identity = parse(stream.peer.spiffe_id or "")
        except InvalidSpiffeId as error:
            raise Refused("a node's certificate is needed") from error
        if not isinstance(identity, NodeIdentity) or identity.trust_domain != self._trust_domain:
            raise Refused("a node's certificate is needed")
        if not self._is_enrolled(identity.node):
            raise Refused(f"node {identity.node} is not enrolled")
        client = AgentId.parse(stream.node.id) or ProxyId.parse(stream.node.id)
        if client is None or client.node != identity.node:
            raise Refused(f"{stream.node.id!r} is no proxy of node {identity.node}")
        return client
