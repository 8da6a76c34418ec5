"""A mesh of any size, made the same each time: services with two workloads and a route each, and workloads that call.

What changes in a measurement is the service that every caller calls: its endpoints, or its route.
"""

import random

from msgspec import Struct

from tulle.model.http_route import HTTPBackendRef, HTTPRoute, HTTPRouteRule, HTTPRouteSpec
from tulle.model.kinds import Resource
from tulle.model.metadata import Metadata
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName
from tulle.model.parse import encode_json
from tulle.model.references import ParentReference
from tulle.model.service import Service, ServicePortSpec, ServiceSpec
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec, WorkloadState
from tulle.store.protocol import Put, Store

NAMESPACE = "bench"
PORT = 8080
CALLED = 10
"""Services that each proxy calls: that which changes, and nine of the others."""

_CALLERS_PER_NODE = 10
_SERVER_NODE = "servers"
_BATCH = 1_000


class Size(Struct, frozen=True):
    services: int
    callers: int


def service_name(number: int) -> str:
    return f"service-{number}"


def caller(number: int) -> ProxyId:
    return ProxyId(node(number), WorkloadName(NAMESPACE, f"caller-{number}"))


def node(number: int) -> str:
    return f"node-{number // _CALLERS_PER_NODE}"


def nodes(callers: int) -> list[str]:
    return list(dict.fromkeys(node(number) for number in range(callers)))


def calls(number: int, services: int) -> list[str]:
    """The services that a caller calls, the first among them."""
    others = random.Random(number).sample(range(1, services), CALLED - 1)
    return [service_name(n) for n in (0, *others)]


def authority(service: str) -> str:
    return f"{service}:{PORT}"


def cluster(service: str) -> str:
    return str(ServicePort(ServiceName(NAMESPACE, service), PORT))


def mesh(size: Size) -> list[Resource]:
    made: list[Resource] = []
    for number in range(size.services):
        made += [_service(number), route(number), workload(number, 0), workload(number, 1)]
    made += [_caller(number) for number in range(size.callers)]
    return made


async def fill(store: Store, size: Size) -> int:
    """Writes the whole mesh; returns the revision that the store has then."""
    revision = 0
    puts = [Put(r.ref, encode_json(r)) for r in mesh(size)]
    for start in range(0, len(puts), _BATCH):
        events = await store.write(puts[start : start + _BATCH])
        revision = max(e.revision for e in events)
    return revision


def route(number: int, weight: int = 90) -> HTTPRoute:
    """Some requests go to the next service."""
    name = service_name(number)
    backends = (
        HTTPBackendRef(name=name, port=PORT, weight=weight),
        HTTPBackendRef(name=service_name(number + 1 if number else 1), port=PORT, weight=100 - weight),
    )
    spec = HTTPRouteSpec(
        parent_refs=(ParentReference(name=name, group="", kind="Service"),),
        rules=(HTTPRouteRule(backend_refs=backends),),
    )
    return HTTPRoute(metadata=Metadata(name, NAMESPACE), spec=spec)


def workload(number: int, replica: int, state: WorkloadState = "Ready") -> Workload:
    address = f"10.{number >> 8 & 255}.{number & 255}.{replica + 1}"
    spec = WorkloadSpec(
        address=address, mesh_port=15100, node=_SERVER_NODE, ports=(WorkloadPortSpec(PORT, "http"),), state=state
    )
    labels = {"app": service_name(number)}
    return Workload(metadata=Metadata(f"{service_name(number)}-{replica}", NAMESPACE, labels), spec=spec)


def _service(number: int) -> Service:
    name = service_name(number)
    spec = ServiceSpec(selector={"app": name}, ports=(ServicePortSpec(PORT, "http", app_protocol="http"),))
    return Service(metadata=Metadata(name, NAMESPACE), spec=spec)


def _caller(number: int) -> Workload:
    proxy = caller(number)
    if proxy.workload is None:
        raise AssertionError("callers have sidecars")
    spec = WorkloadSpec(
        address="127.0.0.1", mesh_port=15100 + number % 800, node=proxy.node, network=f"/run/bench/{number}"
    )
    return Workload(metadata=Metadata(proxy.workload.name, NAMESPACE, {"app": "caller"}), spec=spec)
