"""Takes what nodes report: their workloads become resources, those that are gone are deleted."""

from collections.abc import Sequence

from msgspec.structs import replace

from tulle.control.refresh import Refresh
from tulle.identity.errors import Unavailable
from tulle.identity.issuer import Issuer, RegisteredWorkload
from tulle.identity.messages import ReportReply, ReportRequest
from tulle.identity.spiffe_id import NodeIdentity
from tulle.model.names import ObjectRef, SpiffeId, WorkloadName
from tulle.model.parse import encode_json
from tulle.model.problem import Problem
from tulle.model.snapshot import Snapshot
from tulle.model.validate import validate
from tulle.model.workload import Workload
from tulle.store.protocol import Delete, Put, Store, StoreError


class Directory:
    """Answers whose a workload is, from the newest snapshot."""

    def __init__(self, refresh: Refresh, trust_domain: str) -> None:
        self._refresh = refresh
        self._trust_domain = trust_domain

    async def workload(self, name: WorkloadName) -> RegisteredWorkload | None:
        found = self._refresh.snapshot.workloads.get(name)
        if found is None:
            return None
        identity = SpiffeId(self._trust_domain, name.namespace, found.spec.service_account)
        return RegisteredWorkload(found.spec.node, identity)


class Reports:
    """`take` is the method Report of the node service."""

    def __init__(self, store: Store, refresh: Refresh, issuer: Issuer) -> None:
        self._store = store
        self._refresh = refresh
        self._issuer = issuer

    async def take(self, peer: NodeIdentity, request: ReportRequest) -> ReportReply:
        """Writes what differs; answers once the snapshot has it, so that certificates can be issued at once. Raises
        Unavailable where the store does not take it: it is down, or has something else than the snapshot by now."""
        accounts = {(w.metadata.namespace, w.spec.service_account) for w in request.workloads}
        allowed = {account for account in accounts if await self._issuer.may_run(peer.node, *account)}
        # From here to the write nothing waits: what is checked is what is true when it is written.
        if not self._issuer.is_enrolled(peer.node):
            allowed = set()
        snapshot = self._refresh.snapshot
        problems = {w.ref: _problems(snapshot, peer.node, w, allowed) for w in request.workloads}
        good = [w for w in request.workloads if not problems[w.ref]]
        try:
            events = await self._store.write(changes(snapshot, peer.node, good))
        except StoreError as error:
            raise Unavailable(str(error)) from error
        if events:
            await self._refresh.reached(max(e.revision for e in events))
        return ReportReply(tuple(problem for found in problems.values() for problem in found))


def _problems(snapshot: Snapshot, node: str, workload: Workload, allowed: set[tuple[str, str]]) -> Sequence[Problem]:
    where = str(workload.ref)
    namespace, account = workload.metadata.namespace, workload.spec.service_account
    if workload.spec.node != node:
        return [Problem("spec.node", f"node {node} may not report it", resource=where)]
    known = snapshot.objects.get(workload.ref)
    if isinstance(known, Workload) and known.spec.node != node:
        return [Problem("metadata.name", "a workload of another node has this name", resource=where)]
    if (namespace, account) not in allowed:
        text = f"node {node} may not run {namespace}/{account}"
        return [Problem("spec.serviceAccount", text, "make a join token that allows it", resource=where)]
    return [replace(problem, resource=where) for problem in validate(workload)]


def changes(snapshot: Snapshot, node: str, workloads: Sequence[Workload]) -> tuple[Put | Delete, ...]:
    """The writes after which the workloads of a node are exactly these. A name that is new here must be new in the
    store too: another node may be reporting it at this moment."""
    reported = {w.ref: w for w in workloads}
    known = (snapshot.workloads[name].ref for name in snapshot.node_workloads.get(node, ()))
    gone = [Delete(ref) for ref in known if ref not in reported]
    new = [w for w in reported.values() if _differs(snapshot, w.ref, w)]
    return (*(Put(w.ref, encode_json(w), None if w.ref in snapshot.objects else 0) for w in new), *gone)


def _differs(snapshot: Snapshot, ref: ObjectRef, workload: Workload) -> bool:
    known = snapshot.objects.get(ref)
    return (
        not isinstance(known, Workload)
        or known.spec != workload.spec
        or known.metadata.labels != workload.metadata.labels
    )
