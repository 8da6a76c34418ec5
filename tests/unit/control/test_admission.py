from msgspec.structs import replace
from tests.fakes import mesh
from tests.unit.control.conftest import Plane

from tulle.control.admission import AdmittingStore
from tulle.model import vips
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ServiceName
from tulle.model.parse import decode_json, encode_json
from tulle.model.service import Service
from tulle.store.protocol import Delete, Event, Put

CATALOG = mesh.service("catalog")


def put(resource: Resource, expected: int | None = None) -> Put:
    return Put(resource.ref, encode_json(resource), expected)


def address(event: Event) -> str:
    assert event.stored is not None
    service = decode_json(event.stored.body)
    assert isinstance(service, Service)
    return service.spec.cluster_ip


async def write(plane: Plane, *changes: Put | Delete) -> dict[ObjectRef, Event]:
    events = await plane.admitting.write(changes)
    await plane.reached(max((e.revision for e in events), default=0))
    return {e.ref: e for e in events}


async def test_a_service_is_stored_with_its_address(plane: Plane):
    event = (await write(plane, put(CATALOG)))[CATALOG.ref]
    assert address(event) == vips.allocate(ServiceName("shop", "catalog"), True, lambda _: False)
    assert plane.refresh.snapshot.services[ServiceName("shop", "catalog")].addresses[0] == address(event)


async def test_the_rest_of_the_service_is_untouched(plane: Plane):
    event = (await write(plane, put(CATALOG)))[CATALOG.ref]
    assert event.stored is not None
    stored = decode_json(event.stored.body)
    assert isinstance(stored, Service)
    assert replace(stored, spec=replace(stored.spec, cluster_ip="")) == CATALOG


async def test_a_service_keeps_its_address_when_it_is_written_again(plane: Plane):
    first = address((await write(plane, put(CATALOG)))[CATALOG.ref])
    assert await write(plane, put(CATALOG)) == {}
    changed = mesh.service("catalog", [mesh.TCP])
    assert address((await write(plane, put(changed)))[CATALOG.ref]) == first


async def test_a_declared_address_is_left_as_it_is(plane: Plane):
    for declared in ("240.240.0.1", "10.96.0.1", "None"):
        service = mesh.service("catalog", address=declared)
        assert address((await write(plane, put(service)))[service.ref]) == declared


async def test_services_of_one_write_get_different_addresses(plane: Plane):
    wanted = vips.allocate(ServiceName("shop", "catalog"), True, lambda _: False)
    before = str(vips.IPv4Address(wanted) - 1)
    rival = mesh.service("zebra", address=wanted)
    events = await write(plane, put(CATALOG), put(rival), put(mesh.service("x", address=before)))
    addresses = [address(e) for e in events.values()]
    assert len(set(addresses)) == 3
    assert address(events[rival.ref]) == wanted
    assert plane.refresh.snapshot.services[ServiceName("shop", "zebra")].addresses[0] == wanted


async def test_an_address_of_another_service_is_not_given_out(plane: Plane):
    wanted = vips.allocate(ServiceName("shop", "catalog"), True, lambda _: False)
    await write(plane, put(mesh.service("zebra", address=wanted)))
    assert address((await write(plane, put(CATALOG)))[CATALOG.ref]) != wanted


async def test_a_rehearsal_says_what_would_be_written(plane: Plane):
    (rehearsed,) = await plane.admitting.rehearse([put(CATALOG)])
    assert await plane.admitting.get(CATALOG.ref) is None
    written = (await write(plane, put(CATALOG, 0)))[CATALOG.ref]
    assert rehearsed.stored is not None and written.stored is not None
    assert rehearsed.stored.body == written.stored.body


async def test_everything_else_passes_through(plane: Plane):
    cart = mesh.workload("cart-1", "cart")
    await write(plane, put(cart), put(CATALOG))
    assert [s.ref for s in (await plane.admitting.list("Workload")).items] == [cart.ref]
    stored = await plane.admitting.get(cart.ref)
    assert stored is not None and stored.body == encode_json(cart)
    await write(plane, Delete(cart.ref))
    assert [e.stored for e in await plane.admitting.history(cart.ref, 1)] == [None]
    async for events in plane.admitting.watch(1):
        assert [e.ref for e in events] == [cart.ref]
        break


async def test_an_app_without_a_node_runs_on_the_default_node(plane: Plane):
    app = mesh.app("web", node="")
    admitting = AdmittingStore(plane.store, lambda: plane.refresh.snapshot, default_node="local")
    (event,) = await admitting.write([put(app)])
    assert event.stored is not None
    assert decode_json(event.stored.body) == replace(app, spec=replace(app.spec, node="local"))
    assert await admitting.write([put(app)]) == ()
