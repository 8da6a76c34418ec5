"""What the API sees of the control plane: the store, and what is true of the mesh right now."""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Raw

import tulle
from tulle.api import AuthorityState, NodeState, ProxyState, RemovedNode, Status, StatusWatch, TypeSync, XdsResource
from tulle.control.authority_life import AuthorityLife
from tulle.control.compile import Compiler
from tulle.control.node_removal import NodeRemoval
from tulle.control.node_states import NodeStates
from tulle.control.refresh import Refresh
from tulle.control.rejections import Rejections
from tulle.control.status import Statuses
from tulle.control.status_watches import StatusWatches
from tulle.control.streams import ProxySource, Streams
from tulle.identity.ca import Authority
from tulle.identity.ledger import Ledger
from tulle.identity.tokens import FileTokenBook, new_token, parse_rule
from tulle.model.names import ObjectRef, ProxyId
from tulle.model.problem import Problem
from tulle.model.snapshot import Fact
from tulle.store.protocol import Store
from tulle.stream import WILDCARD
from tulle.stream.server import Stream
from tulle.view.proxy import proxy_of
from tulle.xds import type_urls
from tulle.xds.plain import body_json
from tulle.xds.resource import Resource


class ControlBackend:
    """Implements `tulle.api.Backend`."""

    def __init__(
        self,
        store: Store,
        refresh: Refresh,
        compiler: Compiler,
        streams: Streams,
        rejections: Rejections,
        authority: Authority,
        tokens: FileTokenBook,
        ledger: Ledger,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._refresh = refresh
        self._compiler = compiler
        self._streams = streams
        self._rejections = rejections
        self._statuses = Statuses(refresh, compiler, rejections)
        self._watches = StatusWatches(self._statuses)
        self._authority = authority
        self._tokens = tokens
        self._clock = clock
        self._removal = NodeRemoval(store, refresh, tokens, streams, ledger)
        self._nodes = NodeStates(refresh, streams, tokens, ledger, authority.trust_domain, clock)
        self.authority_life = AuthorityLife(authority, clock)

    @property
    def store(self) -> Store:
        return self._store

    def status(self, ref: ObjectRef) -> Status:
        return self._statuses.of(ref)

    def watch_statuses(self) -> StatusWatch:
        return self._watches.open()

    def published(self, facts: frozenset[Fact]) -> None:
        """There is a new snapshot, which differs in `facts`."""
        self._watches.published(facts)

    def proxies(self) -> tuple[ProxyState, ...]:
        """Every proxy that should run, and whether it is connected."""
        connected = self._streams.clients()
        known = {p for p in connected if isinstance(p, ProxyId)} | self._expected()
        return tuple(self._state(p, connected.get(p)) for p in sorted(known, key=str))

    def xds(self, proxy: ProxyId) -> tuple[XdsResource, ...] | None:
        stream = self._streams.clients().get(proxy)
        if stream is None:
            return None
        source = ProxySource(self._compiler, proxy)
        found: dict[tuple[str, str], Resource] = {}
        for type_url in type_urls.SEND_ORDER:
            for name in self._asked(stream, source, type_url):
                resource = source.get(type_url, name)
                if isinstance(resource, Resource):
                    found[type_url, name] = resource
        return tuple(_shown(r) for r in found.values())

    def nodes(self) -> tuple[NodeState, ...]:
        return self._nodes.all(self._expected())

    def authority(self) -> AuthorityState:
        return self.authority_life.state()

    async def remove_node(self, name: str) -> RemovedNode | None:
        return await self._removal.remove(name)

    async def create_token(self, node: str, service_accounts: tuple[str, ...], ttl: timedelta) -> str:
        now = self._clock()
        rules = tuple(parse_rule(text) for text in service_accounts)
        token, ticket = new_token(node, rules, now + ttl, self._authority.pin)
        await self._tokens.add(ticket, now)
        return token.text.reveal().decode("ascii")

    def not_ready(self) -> tuple[Problem, ...]:
        return (self._refresh.refusal,) if self._refresh.refusal else ()

    def version(self) -> str:
        return tulle.__version__

    def _expected(self) -> set[ProxyId]:
        workloads = self._refresh.snapshot.workloads
        return {
            proxy_of(name, workload)
            for name, workload in workloads.items()
            if workload.spec.node and workload.spec.network
        }

    def _state(self, proxy: ProxyId, stream: Stream | None) -> ProxyState:
        workload = f"{proxy.workload.namespace}/{proxy.workload.name}" if proxy.workload else ""
        refused = {r.type_url: r.message for r in self._rejections.of(proxy)}
        types = (
            (
                TypeSync(
                    type_url,
                    len(stream.acknowledged(type_url)),
                    type_url not in refused,
                    refused.get(type_url, ""),
                )
                for type_url in type_urls.SEND_ORDER
                if stream.subscriptions(type_url)
            )
            if stream
            else ()
        )
        in_sync = stream is not None and stream.in_sync and not refused
        return ProxyState(str(proxy), proxy.node, workload, stream is not None, in_sync, tuple(types))

    def _asked(self, stream: Stream, source: ProxySource, type_url: str) -> list[str]:
        names = stream.subscriptions(type_url)
        roots = source.roots(type_url) if WILDCARD in names else ()
        return sorted({*names, *roots} - {WILDCARD})


def _shown(resource: Resource) -> XdsResource:
    return XdsResource(resource.type_url, resource.name, resource.version, Raw(body_json(resource).encode()))
