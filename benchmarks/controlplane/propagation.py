"""Times a change from the write to the API until every proxy that needs it has acknowledged it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Literal, TypeAlias, TypeVar

import httpx
import msgspec
from msgspec import Struct

from benchmarks import counters
from benchmarks.child import Failed, module, running
from benchmarks.controlplane.callers import Arrived, CallerSettings, Ready
from benchmarks.controlplane.resources import NAMESPACE, Size, fill, route, workload
from benchmarks.controlplane.server import ServerSettings, Started
from tulle.model.kinds import Resource
from tulle.model.parse import encode_json
from tulle.store import open_store
from tulle.xds import type_urls

Kind: TypeAlias = Literal["endpoints", "route"]
KINDS: tuple[Kind, ...] = ("endpoints", "route")
_TYPES = {"endpoints": type_urls.ENDPOINTS, "route": type_urls.VIRTUAL_HOST}
_PAUSE = 0.05
_DIGITS = 5
T = TypeVar("T")


class Change(Struct, frozen=True):
    """`arrivals` are seconds from just before the write until each proxy's acknowledgement, `cpu` the server's
    microseconds and `sent` its bytes per proxy, `lateness` what its event loop was late by, in seconds."""

    kind: Kind
    arrivals: list[float]
    cpu: float
    sent: float
    lateness: list[float]


class Propagation(Struct, frozen=True):
    """`filled` is how long it took until all proxies that came at once had everything, in seconds; `resident` is in
    bytes. `server` is the store's kind, or `bare`."""

    server: str
    size: Size
    filled: float
    filled_cpu: float
    resident: int
    changes: list[Change]


class _Talk:
    """Lines to and from a child."""

    def __init__(self, process: "Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log

    def say(self, line: str) -> None:
        if self._process.stdin is None:
            raise AssertionError("a child that talks")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise Failed(f"a process ended:\n{self._log.read_text()[-2000:]}")
        return line.strip()

    def hear_of(self, kind: type[T]) -> T:
        return msgspec.json.decode(self.hear(), type=kind)

    @property
    def pid(self) -> int:
        return self._process.pid


@contextlib.contextmanager
def _talk(command: list[str], log: Path) -> Iterator[_Talk]:
    with running(command, log, talks=True) as process:
        yield _Talk(process, log)


def measure(at: Path, store: str, size: Size, repeats: int, advance: Callable[[str], None]) -> Propagation:
    """A control plane whose store is `memory` or `sqlite`. `at` is its directory, which a bare server uses after it."""
    url = "memory:" if store == "memory" else f"sqlite:{at / 'tulle.db'}"
    if store != "memory":
        asyncio.run(_fill(url, size))
    settings = ServerSettings(str(at), url, size)
    with _talk(module("controlplane.server", _encoded(settings)), at / "server.log") as server:
        started = server.hear_of(Started)
        cpu = counters.cpu_seconds([server.pid])
        joining = CallerSettings(str(at), size, started.xds_port, started.enrolment_port, started.tokens)
        with _talk(module("controlplane.callers", _encoded(joining)), at / "callers.log") as callers:
            ready = callers.hear_of(Ready)
            filled_cpu = counters.cpu_seconds([server.pid]) - cpu
            resident = counters.memory(server.pid).resident
            with _api(at / "api.sock") as api:
                changes = []
                for number in range(repeats):
                    for kind in KINDS:
                        advance(f"{kind} change, {size.services} services, {size.callers} proxies, {store} store")
                        write = partial(_put, api, _object(kind, number))
                        changed = _change(server, callers, kind, size, write)
                        changes.append(msgspec.structs.replace(changed, lateness=_lateness(server)))
    return Propagation(store, size, ready.filled, filled_cpu, resident, changes)


async def _fill(url: str, size: Size) -> None:
    store = open_store(url)
    await fill(store, size)
    await store.close()


def measure_bare(
    at: Path, size: Size, repeats: int, bytes_sent: dict[Kind, int], advance: Callable[[str], None]
) -> Propagation:
    """The floor, with as many bytes as the control plane has sent."""
    with _talk(module("controlplane.bare", str(at)), at / "bare.log") as server:
        joining = CallerSettings(str(at), size, int(server.hear()), 0, {})
        with _talk(module("controlplane.callers", _encoded(joining)), at / "callers.log") as callers:
            ready = callers.hear_of(Ready)
            changes = []
            for _ in range(repeats):
                for kind in KINDS:
                    advance(f"bare server: {kind} change, {size.callers} proxies")
                    order = f"{_TYPES[kind]} {bytes_sent[kind]}"
                    changes.append(_change(server, callers, kind, size, partial(server.say, order)))
            resident = counters.memory(server.pid).resident
    return Propagation("bare", size, ready.filled, 0, resident, changes)


def _change(server: _Talk, callers: _Talk, kind: Kind, size: Size, write: Callable[[], None]) -> Change:
    callers.say(_TYPES[kind])
    if callers.hear() != "waiting":
        raise Failed("the callers are out of step")
    time.sleep(_PAUSE)
    cpu, began = counters.cpu_seconds([server.pid]), time.monotonic()
    write()
    arrived = callers.hear_of(Arrived)
    time.sleep(_PAUSE)
    spent = counters.cpu_seconds([server.pid]) - cpu
    arrivals = sorted(round(moment - began, _DIGITS) for moment in arrived.moments)
    return Change(kind, arrivals, spent / size.callers * 1e6, arrived.sent / size.callers, [])


def _lateness(server: _Talk) -> list[float]:
    server.say("lateness")
    return [round(late, _DIGITS) for late in server.hear_of(list[float])]


def _object(kind: Kind, number: int) -> Resource:
    """What differs from the time before."""
    if kind == "route":
        return route(0, 50 + number % 40)
    return workload(0, 0, "NotReady" if number % 2 == 0 else "Ready")


@contextlib.contextmanager
def _api(socket: Path) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(socket))
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as api:
        yield api


def _put(api: httpx.Client, resource: Resource) -> None:
    plural = "httproutes" if resource.ref.kind == "HTTPRoute" else "workloads"
    response = api.put(
        f"/v1/namespaces/{NAMESPACE}/{plural}/{resource.ref.name}",
        content=encode_json(resource),
        headers={"content-type": "application/json"},
    )
    if response.is_error:
        raise Failed(f"{resource.ref} could not be written: {response.text}")


def _encoded(settings: Struct) -> str:
    return msgspec.json.encode(settings).decode()
