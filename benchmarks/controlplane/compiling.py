"""Times reading, indexing and compiling in a process of its own, so that its memory is that of one mesh.

Usage: python -m benchmarks.controlplane.compiling <services> <store URL>. Prints Compiling as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from benchmarks import counters
from benchmarks.controlplane.resources import NAMESPACE, PORT, Size, authority, fill, route, service_name, workload
from tulle.control.compile import Compiler
from tulle.control.long_lived import long_lived
from tulle.control.refresh import Refresh
from tulle.model.keys import ClusterKey, EndpointsKey, Key, VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, ServicePort
from tulle.model.snapshot import EMPTY, Fact, Snapshot, update
from tulle.store import open_store

_CHANGES = 30


class Compiling(Struct, frozen=True):
    """Times in seconds; `route_changes` and `endpoint_changes` are from a changed object to changed bytes, with
    everything compiled."""

    services: int
    store: str
    reading: float
    compiling: float
    resources: int
    route_changes: list[float]
    endpoint_changes: list[float]
    resident: int


async def measure(services: int, url: str) -> Compiling:
    store = open_store(url)
    await fill(store, Size(services, 0))
    published: list[Snapshot] = []

    def keep(snapshot: Snapshot, facts: frozenset[Fact]) -> None:
        published.append(snapshot)

    began = time.perf_counter()
    with long_lived():
        await Refresh(store, keep, "tulle.local").load()
    reading = time.perf_counter() - began
    await store.close()
    compiler = Compiler(EMPTY)
    compiler.advance(published[-1], ())
    began = time.perf_counter()
    for key in _keys(services):
        compiler.resource(key)
    compiling = time.perf_counter() - began
    routes = [route(services // 2, 50 + n) for n in range(_CHANGES)]
    workloads = [workload(services // 2, 0, "NotReady" if n % 2 == 0 else "Ready") for n in range(_CHANGES)]
    return Compiling(
        services,
        url.partition(":")[0],
        reading,
        compiling,
        len(compiler),
        _changes(compiler, routes),
        _changes(compiler, workloads),
        counters.memory_of_self(),
    )


def _keys(services: int) -> Iterable[Key]:
    for number in range(services):
        port = ServicePort(ServiceName(NAMESPACE, service_name(number)), PORT)
        yield from (
            VirtualHostKey(NAMESPACE, authority(service_name(number))),
            ClusterKey(port),
            EndpointsKey(port),
        )


def _changes(compiler: Compiler, objects: Iterable[Resource]) -> list[float]:
    taken = []
    for changed in objects:
        before = compiler.snapshot
        began = time.perf_counter()
        snapshot, facts = update(before, {changed.ref: changed}, before.revision + 1)
        changes = compiler.advance(snapshot, facts)
        taken.append(time.perf_counter() - began)
        if not changes.keys:
            raise AssertionError(f"{changed.ref} changed nothing")
    return taken


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(measure(int(sys.argv[1]), sys.argv[2]))).decode())
