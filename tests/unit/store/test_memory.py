"""MemoryStore passes the shared suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.unit.store.suite import Clock, StoreSuite

from tulle.store.limits import Limits
from tulle.store.memory import MemoryStore


class TestMemoryStore(StoreSuite):
    @asynccontextmanager
    async def opened(self, limits: Limits) -> AsyncIterator[MemoryStore]:
        store = MemoryStore(limits, Clock())
        yield store
        await store.close()
