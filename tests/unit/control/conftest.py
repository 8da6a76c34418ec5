"""A control plane without servers: a store in memory, what follows it, and who may run what."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tulle.control.admission import AdmittingStore
from tulle.control.backend import ControlBackend
from tulle.control.compile import Compiler
from tulle.control.refresh import Refresh
from tulle.control.rejections import Rejections
from tulle.control.reports import Directory, Reports
from tulle.control.status import Statuses
from tulle.control.streams import Streams
from tulle.identity import ca
from tulle.identity.issuer import Issuer
from tulle.identity.messages import ReportReply, ReportRequest
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import FileTokenBook, new_token, parse_rule
from tulle.model.kinds import Resource
from tulle.model.parse import encode_json
from tulle.model.snapshot import EMPTY, Fact, Snapshot
from tulle.model.workload import Workload
from tulle.store.memory import MemoryStore
from tulle.store.protocol import Delete, Put

NOW = datetime(2026, 5, 4, tzinfo=UTC)


class Plane:
    """Everything that `tulle.control.app` wires together, apart from sockets."""

    def __init__(self, directory: Path) -> None:
        self.store = MemoryStore(clock=NOW.timestamp)
        self.compiler = Compiler(EMPTY)
        self.rejections = Rejections()
        self.strangers: set[str] = set()
        self.streams = Streams(self.compiler, self.rejections, "tulle.local", lambda node: node not in self.strangers)
        self.refresh = Refresh(self.store, self._publish, "tulle.local")
        self.admitting = AdmittingStore(self.store, lambda: self.refresh.snapshot)
        self.statuses = Statuses(self.refresh, self.compiler, self.rejections)
        self.book = FileTokenBook(directory / "control" / "tokens.json")
        self.authority = ca.new_authority("tulle.local", NOW - timedelta(days=1))
        self.directory = Directory(self.refresh, "tulle.local")
        self.now = NOW
        self.issuer = Issuer(self.authority, self.book, self.directory, self.clock)
        self.reports = Reports(self.store, self.refresh, self.issuer)
        self.backend = ControlBackend(
            self.admitting,
            self.refresh,
            self.compiler,
            self.streams,
            self.rejections,
            self.authority,
            self.book,
            self.issuer.ledger,
            self.clock,
        )

    def clock(self) -> datetime:
        return self.now

    def _publish(self, snapshot: Snapshot, facts: frozenset[Fact]) -> None:
        self.streams.publish(self.compiler.advance(snapshot, facts))
        self.backend.published(facts)

    async def enrol(self, node: str, *rules: str) -> NodeIdentity:
        token, ticket = new_token(node, tuple(map(parse_rule, rules)), NOW + timedelta(hours=1), self.authority.pin)
        await self.book.add(ticket, NOW)
        await self.book.redeem(token, node, NOW)
        return NodeIdentity("tulle.local", node)

    async def write(self, *resources: Resource, gone: Iterable[Resource] = ()) -> None:
        """Writes, and waits until the snapshot has it."""
        changes = [*(Put(r.ref, encode_json(r)) for r in resources), *(Delete(r.ref) for r in gone)]
        await self.reached(max((e.revision for e in await self.store.write(changes)), default=0))

    async def reached(self, revision: int) -> None:
        async with asyncio.timeout(30):
            await self.refresh.reached(revision)

    async def report(self, node: NodeIdentity, *workloads: Workload) -> ReportReply:
        async with asyncio.timeout(30):
            return await self.reports.take(node, ReportRequest(node.node, workloads))


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    plane = Plane(tmp_path)
    await plane.refresh.load()
    task = asyncio.create_task(plane.refresh.follow())
    yield plane
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
