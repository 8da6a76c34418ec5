"""Takes a node out of the mesh: first its rights, then its streams, then its workloads.

In this order, so that the node cannot bring back in the meantime what is taken away here.
"""

import logging

from tulle.api import RemovedNode
from tulle.control.refresh import Refresh
from tulle.control.streams import Streams
from tulle.identity.ledger import Ledger
from tulle.identity.tokens import TokenBook
from tulle.model.parse import InvalidResource, decode_json
from tulle.model.workload import Workload
from tulle.store.protocol import Conflict, Delete, NotFound, Store, Stored

log = logging.getLogger(__name__)


class NodeRemoval:
    """`remove` does it."""

    def __init__(self, store: Store, refresh: Refresh, tokens: TokenBook, streams: Streams, ledger: Ledger) -> None:
        self._store = store
        self._refresh = refresh
        self._tokens = tokens
        self._streams = streams
        self._ledger = ledger

    async def remove(self, name: str) -> RemovedNode | None:
        """None where there is no such node. Raises Unavailable; what was done by then stays done, and the rest can be
        tried again."""
        enrolled = self._tokens.is_enrolled(name)
        if enrolled:
            await self._tokens.remove_node(name)
        self._ledger.forget(name)
        streams = self._streams.refuse(name)
        workloads = await self._remove_workloads(name)
        if not (enrolled or streams or workloads):
            return None
        log.warning("node %s was removed, with %d streams and %d workloads", name, streams, workloads)
        return RemovedNode(name, workloads, streams, self._apps(name))

    async def _remove_workloads(self, node: str) -> int:
        """How many there were. A report that was on its way is before the first write here in the store's order, so
        what comes after it is seen by the second reading at the latest."""
        count, settled = 0, False
        while True:
            listing = await self._store.list(Workload.__name__)
            gone = [Delete(stored.ref, stored.revision) for stored in listing.items if _is_on(stored, node)]
            if settled and not gone:
                return count
            try:
                await self._store.write(gone)
            except (NotFound, Conflict):
                continue  # somebody else has written meanwhile: read again
            count, settled = count + len(gone), True

    def _apps(self, node: str) -> tuple[str, ...]:
        return tuple(f"{ref.namespace}/{ref.name}" for ref in self._refresh.snapshot.node_apps.get(node, ()))


def _is_on(stored: Stored, node: str) -> bool:
    try:
        resource = decode_json(stored.body)
    except InvalidResource:
        return False  # nobody serves it
    return isinstance(resource, Workload) and resource.spec.node == node
