"""Watches: a list that goes on, as server-sent events, in the words of Kubernetes' watch.

Without a revision the objects there are come first, each as ADDED, and a BOOKMARK says that these were all. An event's
id is the revision to go on from after it, so a browser that reconnects misses nothing. A status is not written, so no
revision says when it changed: who goes on from one first gets what there was by then once more, as MODIFIED.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct
from sse_starlette import EventSourceResponse, ServerSentEvent

from tulle.api.backend import Backend, Status, StatusWatch
from tulle.api.errors import error
from tulle.api.messages import Bookmark, ProblemDocument
from tulle.api.objects import Place, labels, shown
from tulle.api.selector import Selector
from tulle.model.names import ObjectRef
from tulle.store.protocol import Compacted, Event, Stored, Unavailable

Change: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]

_PING_SECONDS = 15
_SEND_SECONDS = 30  # a client that takes longer to accept an event is dropped
_BOOKMARK_EVERY = 500  # revisions; keeps a watch of rare objects from falling out of the store's log


def watch(backend: Backend, target: Place, selector: Selector, since: int | None) -> EventSourceResponse:
    """The changes of the objects at `target` that match; to an object that no longer does, DELETED happens."""
    events = _Watch(backend, target, selector).events(since)
    return EventSourceResponse(events, ping=_PING_SECONDS, send_timeout=_SEND_SECONDS, sep="\n")


class _Sent(Struct, frozen=True):
    """What was last sent of an object."""

    revision: int
    status: Status


class _Watch:
    def __init__(self, backend: Backend, target: Place, selector: Selector) -> None:
        self._backend, self._target, self._selector = backend, target, selector
        self._sent: dict[ObjectRef, _Sent] = {}
        self._statuses = backend.watch_statuses()

    async def events(self, since: int | None) -> AsyncIterator[ServerSentEvent]:
        try:
            listing = await self._backend.store.list(self._target.kind.name, self._target.namespace)
            for stored in listing.items:
                if self._matches(stored) and (since is None or stored.revision <= since):
                    yield _event("ADDED" if since is None else "MODIFIED", self._shown(stored))
            if since is None:
                since = listing.revision
                yield _bookmark(since)
            async for frame in self._follow(since):
                yield frame
        except Compacted as compacted:
            yield _failed(error(410, "Expired", f"{compacted}; list again and watch from there").document)
        except Unavailable as unavailable:
            yield _failed(error(503, "Unavailable", str(unavailable)).document)
        finally:
            self._statuses.close()

    async def _follow(self, since: int) -> AsyncIterator[ServerSentEvent]:
        bookmarked = since
        async for news in _either(self._backend.store.watch(since), self._statuses):
            if isinstance(news, frozenset):
                for ref in sorted(news):
                    if (object_ := await self._with_other_status(ref)) is not None:
                        yield _event("MODIFIED", object_)
                continue
            revision = news[0].revision
            frames = [self._frame(event) for event in news if self._concerns(event)]
            for change, object_ in frames[:-1]:
                yield _event(change, object_)
            if frames:  # only the last has an id: whoever reconnects gets a write again, or is done with it
                yield _event(*frames[-1], revision)
            elif revision - bookmarked >= _BOOKMARK_EVERY:
                yield _bookmark(revision)
            else:
                continue
            bookmarked = revision

    async def _with_other_status(self, ref: ObjectRef) -> Raw | None:
        """The object, where its status is not what was last sent. What was written since is left to its own event."""
        sent = self._sent.get(ref)
        stored = await self._backend.store.get(ref) if sent else None
        if sent is None or stored is None or stored.revision != sent.revision:
            return None
        return self._shown(stored) if self._statuses.of(ref) != sent.status else None

    def _concerns(self, event: Event) -> bool:
        kind, ref = self._target.kind, event.ref
        return (ref.kind, ref.api_version) == (kind.name, kind.api_version) and (
            self._target.namespace in ("", ref.namespace)
        )

    def _frame(self, event: Event) -> tuple[Change, Raw]:
        stored = event.stored
        if stored is None or not self._matches(stored):
            self._sent.pop(event.ref, None)
            return "DELETED", _gone(event)
        return "ADDED" if stored.created == stored.updated else "MODIFIED", self._shown(stored)

    def _matches(self, stored: Stored) -> bool:
        return not self._selector.requirements or self._selector.matches(labels(stored))

    def _shown(self, stored: Stored) -> Raw:
        status = self._statuses.of(stored.ref)
        self._sent[stored.ref] = _Sent(stored.revision, status)
        return shown(stored, status)


async def _either(
    writes: AsyncIterator[tuple[Event, ...]], statuses: StatusWatch
) -> AsyncIterator[tuple[Event, ...] | frozenset[ObjectRef]]:
    """Writes, and objects whose status may be another, as they come."""

    async def next_write() -> tuple[Event, ...]:
        return await anext(writes)

    write = asyncio.create_task(next_write(), name="watch writes")
    status = asyncio.create_task(statuses.changed(), name="watch statuses")
    try:
        while True:
            await asyncio.wait((write, status), return_when=asyncio.FIRST_COMPLETED)
            if write.done():
                yield write.result()
                write = asyncio.create_task(next_write(), name="watch writes")
            if status.done():
                yield status.result()
                status = asyncio.create_task(statuses.changed(), name="watch statuses")
    finally:
        write.cancel()
        status.cancel()
        await asyncio.gather(write, status, return_exceptions=True)


def _gone(event: Event) -> Raw:
    """What is left of an object that is gone: its name, and the revision of its end."""
    ref = event.ref
    metadata = {"name": ref.name, "resourceVersion": str(event.revision)}
    if ref.namespace:
        metadata["namespace"] = ref.namespace
    fields = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
    return Raw(msgspec.json.encode(fields))


def _event(change: Change, object_: Raw, revision: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(bytes(object_).decode(), event=change, id=_id(revision), sep="\n")


def _bookmark(revision: int) -> ServerSentEvent:
    data = msgspec.json.encode(Bookmark(str(revision)))
    return ServerSentEvent(data.decode(), event="BOOKMARK", id=_id(revision), sep="\n")


def _failed(document: ProblemDocument) -> ServerSentEvent:
    return ServerSentEvent(msgspec.json.encode(document).decode(), event="ERROR", sep="\n")


def _id(revision: int | None) -> str | None:
    return None if revision is None else str(revision)
