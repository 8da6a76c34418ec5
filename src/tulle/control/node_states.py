"""Says how each node is: connected or not, what runs there, and whether its certificates are renewed in time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from tulle.api import CertificateProblem, NodeState
from tulle.control.refresh import Refresh
from tulle.control.streams import Streams
from tulle.identity.ledger import Issued, Ledger
from tulle.identity.rotation import is_late, life_used, warning_level
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import AccountRule, TokenBook
from tulle.model.names import AgentId, ProxyId, SpiffeId
from tulle.model.timestamp import rfc3339
from tulle.stream.peer import Peer


class NodeStates:
    """`all` computes them."""

    def __init__(
        self,
        refresh: Refresh,
        streams: Streams,
        tokens: TokenBook,
        ledger: Ledger,
        trust_domain: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._refresh = refresh
        self._streams = streams
        self._tokens = tokens
        self._ledger = ledger
        self._trust_domain = trust_domain
        self._clock = clock

    def all(self, expected: Iterable[ProxyId]) -> tuple[NodeState, ...]:
        """Of all nodes that are enrolled, connected, or named by workloads. `expected`: the proxies that should run."""
        clients = self._streams.clients()
        connected = {c.node: stream.peer for c, stream in clients.items() if isinstance(c, AgentId)}
        proxies = Counter(proxy.node for proxy in expected)
        enrolled = self._tokens.enrolled()
        names = (set(connected) | set(self._refresh.snapshot.node_workloads) | set(enrolled)) - {""}
        return tuple(
            self._state(name, connected.get(name), proxies[name], enrolled.get(name, ())) for name in sorted(names)
        )

    def _state(self, name: str, agent: Peer | None, proxies: int, accounts: tuple[AccountRule, ...]) -> NodeState:
        now = self._clock()
        own = self._own_certificate(name, agent)
        return NodeState(
            name=name,
            connected=agent is not None,
            workloads=len(self._refresh.snapshot.node_workloads.get(name, ())),
            proxies=proxies,
            certificate_expires=rfc3339(own.not_after) if own else "",
            service_accounts=tuple(map(str, accounts)),
            certificate_life_used=life_used(own.not_before, own.not_after, now) if own else None,
            certificate_problems=tuple(self._problems(name, own, now)),
        )

    def _own_certificate(self, node: str, agent: Peer | None) -> Issued | None:
        """That of the agent: what it was given last, or what it connected with, where it is known."""
        identity = NodeIdentity(self._trust_domain, node)
        issued = self._ledger.of(node).get(identity)
        if agent is None or agent.begins is None or agent.expires is None:
            return issued
        used = Issued(node, identity, agent.begins, agent.expires)
        return issued if issued is not None and issued.not_after > used.not_after else used

    def _problems(self, node: str, own: Issued | None, now: datetime) -> Iterator[CertificateProblem]:
        if own is not None and (message := _overdue(own, now)):
            yield CertificateProblem(str(own.identity), message)
        issued, refusals = self._ledger.of(node), self._ledger.refusals(node)
        for identity in sorted(self._identities(node)):
            if identity in refusals:
                yield CertificateProblem(str(identity), f"was refused: {refusals[identity]}")
            elif identity in issued and (message := _overdue(issued[identity], now)):
                yield CertificateProblem(str(identity), message)

    def _identities(self, node: str) -> set[SpiffeId]:
        """Those of the workloads that are on a node now."""
        snapshot = self._refresh.snapshot
        workloads = ((name, snapshot.workloads[name]) for name in snapshot.node_workloads.get(node, ()))
        return {SpiffeId(self._trust_domain, name.namespace, w.spec.service_account) for name, w in workloads}


def _overdue(certificate: Issued, now: datetime) -> str:
    """What to say of a certificate that should have been renewed by now; nothing of any other."""
    begin, end = certificate.not_before, certificate.not_after
    if now >= end:
        return f"ended at {rfc3339(end)}, and was not renewed"
    if not is_late(begin, end, now):
        return ""
    return f"{warning_level(begin, end, now)} % of its life is over, and it is not renewed; it ends at {rfc3339(end)}"
