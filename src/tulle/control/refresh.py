"""Follows the store: reads everything once, then each write, and publishes snapshots."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from tulle.control import guard
from tulle.model.kinds import Resource
from tulle.model.mesh import Mesh
from tulle.model.names import ObjectRef
from tulle.model.parse import InvalidResource, decode_json
from tulle.model.problem import Problem
from tulle.model.snapshot import EMPTY, Fact, Snapshot, update
from tulle.store.protocol import Compacted, Store, Stored, Unavailable

log = logging.getLogger(__name__)

Publish = Callable[[Snapshot, frozenset[Fact]], None]
FAULTS = "faults"
"""The table of the facts that say which stored objects are not served as they are."""


class Fault(Struct, frozen=True):
    """Why a stored object is not served as it is, and its generation."""

    problems: tuple[Problem, ...]
    generation: int


class Refresh:
    """Holds the current snapshot and the problems of what the store holds.

    `publish` is called with every new snapshot and the facts in which it differs from the one before, in order.
    `retry`: seconds before a store that cannot be read is tried again.
    """

    def __init__(self, store: Store, publish: Publish, trust_domain: str, retry: float = 1.0) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._retry = retry
        self._publish = publish
        self._advanced = asyncio.Condition()
        self.snapshot: Snapshot = EMPTY
        self.problems: dict[ObjectRef, Fault] = {}
        self.refusal: Problem | None = None

    async def load(self) -> None:
        """Reads the whole store and publishes it. If the guard refuses, the objects stay as they were; later writes
        are followed."""
        listing = await self._store.list()
        before = self._faults({*self.problems, *(stored.ref for stored in listing.items)})
        self.problems.clear()
        listed = self._decoded((s.ref, s) for s in listing.items)
        gone = {ref: None for ref in self.snapshot.objects if ref not in listed}
        snapshot, facts = update(self.snapshot, {**listed, **gone}, listing.revision)
        self.refusal = guard.refusal(self.snapshot, snapshot)
        if self.refusal:
            log.error("%s", self.refusal)
            snapshot, facts = replace(self.snapshot, revision=listing.revision), frozenset()
        await self._advance(snapshot, facts | self._faults_since(before))

    async def follow(self) -> None:
        """Publishes one snapshot per write, for ever; reads everything again where events were missed. While the store
        cannot be read the last snapshot stays, and it is tried again."""
        missed = False
        while True:
            try:
                if missed:
                    await self.load()
                    missed = False
                async for events in self._store.watch(self.snapshot.revision):
                    before = self._faults(e.ref for e in events)
                    changes = self._decoded((e.ref, e.stored) for e in events)
                    snapshot, facts = update(self.snapshot, changes, max(e.revision for e in events))
                    await self._advance(snapshot, facts | self._faults_since(before))
            except Compacted:
                missed = True
            except Unavailable as error:
                log.error("%s; what was read before is served on", error)
                await asyncio.sleep(self._retry)

    async def reached(self, revision: int) -> None:
        """Waits until the snapshot is at least at `revision`."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self.snapshot.revision >= revision)

    async def _advance(self, snapshot: Snapshot, facts: frozenset[Fact]) -> None:
        async with self._advanced:
            self.snapshot = snapshot
            self._publish(snapshot, facts)
            self._advanced.notify_all()

    def _faults(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, Fault | None]:
        return {ref: self.problems.get(ref) for ref in refs}

    def _faults_since(self, before: Mapping[ObjectRef, Fault | None]) -> frozenset[Fact]:
        """The facts in which the faults of these objects differ by now."""
        return frozenset(Fact(FAULTS, ref) for ref, fault in before.items() if fault != self.problems.get(ref))

    def _decoded(self, entries: Iterable[tuple[ObjectRef, Stored | None]]) -> Mapping[ObjectRef, Resource | None]:
        """An object that cannot be read is left as it was last good, and its problems are kept for its status."""
        decoded: dict[ObjectRef, Resource | None] = {}
        for ref, stored in entries:
            self.problems.pop(ref, None)
            try:
                decoded[ref] = self._served(_resource(stored)) if stored else None
            except InvalidResource as error:
                self.problems[ref] = Fault(error.problems, stored.generation if stored else 0)
                log.error("%s: %s", ref, "; ".join(map(str, error.problems)))
                if ref in self.snapshot.objects:
                    decoded[ref] = self.snapshot.objects[ref]
        return decoded

    def _served(self, resource: Resource) -> Resource:
        """Identities are of the domain that the certificate authority was made for: with another one in the Mesh every
        proxy would refuse every other. So that field is not served, and the object's status says so."""
        if not isinstance(resource, Mesh) or resource.spec.trust_domain == self._trust_domain:
            return resource
        message = f"stays {self._trust_domain}, for which the certificate authority was made"
        problem = Problem("spec.trustDomain", message, f"write {self._trust_domain}", resource=str(resource.ref))
        self.problems[resource.ref] = Fault((problem,), resource.metadata.generation)
        return replace(resource, spec=replace(resource.spec, trust_domain=self._trust_domain))


def _resource(stored: Stored) -> Resource:
    """The stored object with what only the store knows: when it was made, which decides between routes, and its
    generation, to which its conditions refer."""
    resource = decode_json(stored.body)
    created = datetime.fromtimestamp(stored.created, UTC).isoformat(timespec="microseconds")
    metadata = replace(resource.metadata, creation_timestamp=created, generation=stored.generation)
    return replace(resource, metadata=metadata)
