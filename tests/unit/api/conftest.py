"""An API with a fake control plane behind it, and a client that is connected without a network."""

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.fakes.told_backend import ToldBackend

from tulle.api.app import create_api
from tulle.api.guard import Access
from tulle.store.memory import MemoryStore

Json = Any


class AuditLog:
    """What was written to the audit log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    @property
    def entries(self) -> list[dict[str, Json]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def backend() -> ToldBackend:
    ticks = itertools.count(1_700_000_000)
    return ToldBackend(MemoryStore(clock=lambda: float(next(ticks))))


@pytest.fixture
def audit() -> AuditLog:
    return AuditLog()


@pytest.fixture
def app(backend: ToldBackend, audit: AuditLog) -> FastAPI:
    return create_api(backend, Access(token=None), audit, clock=lambda: 1_800_000_000.0)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
