"""The mesh of the control plane's benchmark."""

from benchmarks.controlplane.resources import (
    CALLED,
    NAMESPACE,
    PORT,
    Size,
    authority,
    caller,
    calls,
    cluster,
    fill,
    mesh,
    nodes,
    route,
    service_name,
    workload,
)

from tulle.model.keys import ClusterKey, EndpointsKey, VirtualHostKey
from tulle.model.names import ServiceName, ServicePort
from tulle.model.snapshot import build, update
from tulle.model.validate import validate
from tulle.store import open_store
from tulle.view import Reader, scope
from tulle.view import build as view
from tulle.xds import type_urls
from tulle.xds.names import key_of

SIZE = Size(20, 12)
FIRST = ServicePort(ServiceName(NAMESPACE, service_name(0)), PORT)


def test_everything_is_valid() -> None:
    assert not [problem for made in mesh(SIZE) for problem in validate(made)]


def test_every_caller_calls_the_service_that_changes() -> None:
    for number in range(SIZE.callers):
        called = calls(number, SIZE.services)
        assert called[0] == service_name(0)
        assert len(set(called)) == CALLED
        assert called == calls(number, SIZE.services)


def test_callers_ask_for_names_that_are_theirs() -> None:
    snapshot = build(mesh(SIZE), 1)
    seen = scope(Reader(snapshot), caller(11))
    for name, type_url in (
        (cluster(service_name(3)), type_urls.CLUSTER),
        (cluster(service_name(3)), type_urls.ENDPOINTS),
        (f"{NAMESPACE}/{authority(service_name(3))}", type_urls.VIRTUAL_HOST),
    ):
        key = key_of(type_url, name)
        assert key is not None
        assert seen.allows(key)
        assert view(Reader(snapshot), key) is not None
    assert seen.listeners


def test_ten_callers_share_a_node() -> None:
    assert nodes(SIZE.callers) == ["node-0", "node-1"]


def test_changes_change_what_they_are_to_change() -> None:
    before = build(mesh(SIZE), 1)
    for changed, key in (
        (route(0, 50), VirtualHostKey(NAMESPACE, authority(service_name(0)))),
        (workload(0, 0, "NotReady"), EndpointsKey(FIRST)),
    ):
        after, _ = update(before, {changed.ref: changed}, 2)
        assert view(Reader(after), key) != view(Reader(before), key)
        assert view(Reader(after), ClusterKey(FIRST)) == view(Reader(before), ClusterKey(FIRST))


async def test_a_store_is_filled() -> None:
    store = open_store("memory:")
    revision = await fill(store, SIZE)
    listing = await store.list()
    assert len(listing.items) == len(mesh(SIZE))
    assert listing.revision == revision
    await store.close()
