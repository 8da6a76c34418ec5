import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import mesh
from tests.fakes.keys import keys, proxies

from tulle.control.compile import Compiler
from tulle.model.http_route import HTTPRouteRule
from tulle.model.keys import ClusterKey, EndpointsKey, Key, ListenerKey, NameKey, VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ProxyId, ServiceName, ServicePort, WorkloadName
from tulle.model.snapshot import Snapshot, build, update
from tulle.view import View
from tulle.view import build as build_view
from tulle.view.scope import scope
from tulle.xds.resource import Resource as XdsResource
from tulle.xds.translate import translate

PORT = ServicePort(ServiceName("shop", "catalog"), 8080)
CLUSTER, ENDPOINTS = ClusterKey(PORT), EndpointsKey(PORT)
HOST = VirtualHostKey("shop", "catalog:8080")
OTHER = VirtualHostKey("shop", "cart:8080")
CATALOG, ONE = mesh.service("catalog"), mesh.workload("catalog-1", "catalog")
WORLD = (CATALOG, ONE, mesh.service("cart"), mesh.workload("web-1", "web"))
CART = mesh.parent("cart")
WEB = ProxyId("n1", WorkloadName("shop", "web-1"))

changes = st.lists(
    st.lists(st.tuples(mesh.resources, st.booleans()), min_size=1, max_size=3).map(
        lambda entries: {r.ref: r if kept else None for r, kept in entries}
    ),
    max_size=5,
)


def compiled(*keys: Key) -> Compiler:
    compiler = Compiler(build(WORLD))
    for key in keys:
        compiler.resource(key)
    return compiler


def advance(compiler: Compiler, *resources: Resource, gone: tuple[ObjectRef, ...] = ()) -> frozenset[Key]:
    snapshot, facts = update(compiler.snapshot, {**{r.ref: r for r in resources}, **dict.fromkeys(gone)}, 1)
    return compiler.advance(snapshot, facts).keys


@contextmanager
def counted() -> Iterator[list[Key | ProxyId]]:
    """Records every key whose view is built and every proxy whose scope is computed."""
    seen: list[Key | ProxyId] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is build_view.__code__:
            seen.append(frame.f_locals["key"])
        if event == "call" and frame.f_code is scope.__code__:
            seen.append(frame.f_locals["proxy"])

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(before)


class TestOnce:
    def test_a_resource_is_built_for_all_who_ask(self):
        compiler = Compiler(build(WORLD))
        with counted() as built:
            first = compiler.resource(CLUSTER)
            assert first is not None and compiler.resource(CLUSTER) is first
        assert built == [CLUSTER]

    def test_what_is_not_there_is_remembered_too(self):
        compiler = Compiler(build([]))
        with counted() as built:
            assert compiler.resource(CLUSTER) is compiler.resource(CLUSTER) is None
        assert built == [CLUSTER]

    def test_a_scope_is_computed_once(self):
        compiler = Compiler(build(WORLD))
        with counted() as built:
            assert compiler.scope(WEB) == compiler.scope(WEB)
        assert built == [WEB]


class TestAdvance:
    def test_builds_only_what_read_a_changed_fact(self):
        compiler = compiled(CLUSTER, ENDPOINTS, HOST, OTHER)
        with counted() as built:
            changed = advance(compiler, mesh.workload("catalog-1", "catalog", state="Draining"))
        assert set(built) == {CLUSTER, ENDPOINTS}
        assert changed == {ENDPOINTS}

    def test_says_nothing_of_what_comes_out_the_same(self):
        compiler = compiled(CLUSTER)
        before = compiler.resource(CLUSTER)
        with counted() as built:
            assert advance(compiler, mesh.workload("catalog-2", "catalog", address="10.0.0.2")) == frozenset()
        assert built == [CLUSTER]
        assert compiler.resource(CLUSTER) is before

    def test_builds_nothing_that_nobody_asked_for(self):
        compiler = compiled(OTHER)
        with counted() as built:
            advance(compiler, mesh.service("catalog", [mesh.TCP]))
        assert built == []

    def test_follows_what_a_view_reads_now(self):
        """A route brings new dependencies, and takes them with it."""
        compiler = compiled(HOST)
        cart = mesh.service("cart")
        route = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("cart"),)))
        assert advance(compiler, route) == {HOST}
        assert advance(compiler, gone=(cart.ref,)) == {HOST}
        assert advance(compiler, cart, gone=(route.ref,)) == {HOST}
        with counted() as built:
            assert advance(compiler, gone=(cart.ref,)) == frozenset()
        assert built == []

    def test_sees_what_was_missing_appear(self):
        compiler = Compiler(build([]))
        assert compiler.resource(CLUSTER) is None
        assert advance(compiler, CATALOG) == {CLUSTER}
        assert compiler.resource(CLUSTER) is not None
        assert advance(compiler, gone=(CATALOG.ref,)) == {CLUSTER}
        assert compiler.resource(CLUSTER) is None

    def test_names_the_proxies_whose_scope_differs(self):
        compiler = compiled()
        compiler.scope(WEB)
        compiler.scope(ProxyId("n2"))
        snapshot, facts = update(
            compiler.snapshot, {ONE.ref: mesh.workload("catalog-1", "catalog", state="NotReady")}, 1
        )
        assert compiler.advance(snapshot, facts).proxies == frozenset()
        moved = mesh.workload("web-1", "web", node="n2", mode="node")
        snapshot, facts = update(compiler.snapshot, {moved.ref: moved}, 1)
        assert compiler.advance(snapshot, facts).proxies == {WEB, ProxyId("n2")}
        assert compiler.scope(WEB).listeners == ()


class TestForget:
    def test_frees_what_nobody_asks_for(self):
        compiler = compiled(CLUSTER, HOST)
        compiler.scope(WEB)
        assert len(compiler) == 2
        compiler.forget([CLUSTER, HOST, WEB, OTHER])
        assert len(compiler) == 0
        with counted() as built:
            assert advance(compiler, gone=tuple(r.ref for r in WORLD)) == frozenset()
        assert built == []

    def test_leaves_what_others_read(self):
        compiler = compiled(CLUSTER, ENDPOINTS)
        compiler.forget([CLUSTER])
        assert advance(compiler, gone=(ONE.ref,)) == {ENDPOINTS}


class TestObjects:
    def test_are_those_that_a_resource_was_made_from(self):
        compiler = compiled(CLUSTER, HOST)
        assert compiler.objects_of(CLUSTER) == {CATALOG.ref, ONE.ref}
        assert compiler.objects_of(HOST) == {CATALOG.ref}

    def test_are_routes_and_their_backends_too(self):
        compiler = compiled(HOST)
        route = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("cart"), mesh.http_backend("gone"))))
        advance(compiler, route)
        assert compiler.objects_of(HOST) == {CATALOG.ref, mesh.service("cart").ref, route.ref}

    def test_of_what_was_not_compiled_are_none(self):
        assert compiled().objects_of(CLUSTER) == frozenset()


@settings(max_examples=150)
@given(
    st.lists(mesh.resources, max_size=8), changes, st.lists(keys, min_size=1, max_size=8), st.lists(proxies, max_size=3)
)
def test_going_along_gives_what_starting_anew_gives(
    resources: list[Resource], steps: list[dict[ObjectRef, Resource | None]], asked: list[Key], who: list[ProxyId]
):
    compiler = Compiler(build(resources))
    for step in steps:
        before: tuple[Snapshot, dict[Key, object]] = (compiler.snapshot, {k: compiler.resource(k) for k in asked})
        scopes = {p: compiler.scope(p) for p in who}
        snapshot, facts = update(before[0], step, 1)
        told = compiler.advance(snapshot, facts)
        fresh = Compiler(snapshot)
        assert {k: compiler.resource(k) for k in asked} == {k: fresh.resource(k) for k in asked}
        assert told.keys == {k for k in asked if compiler.resource(k) != before[1][k]}
        assert told.proxies == {p for p in who if fresh.scope(p) != scopes[p]}


def test_keys_of_every_kind_compile():
    compiler = compiled()
    for key in (ListenerKey(WorkloadName("shop", "web-1"), "outbound"), NameKey("shop", "catalog"), HOST):
        assert compiler.resource(key) is not None


class TestWhatCannotBeCompiled:
    @staticmethod
    def refuse_catalog_v2(view: View) -> XdsResource:
        if "catalog-v2" in str(view):
            raise ValueError("no words for it")
        return translate(view)

    def test_goes_on_with_its_last_good_version_and_says_why(self):
        compiler = Compiler(build(WORLD), self.refuse_catalog_v2)
        before = compiler.resource(HOST)
        route = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("catalog-v2"),)))
        assert advance(compiler, mesh.service("catalog-v2"), route) == frozenset()
        assert compiler.resource(HOST) == before
        assert compiler.failures == {HOST: "ValueError: no words for it"}
        assert route.ref in compiler.objects_of(HOST)

    def test_takes_nothing_else_with_it_and_recovers(self):
        compiler = Compiler(build(WORLD), self.refuse_catalog_v2)
        for key in (HOST, OTHER):
            compiler.resource(key)
        bad = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("catalog-v2"),)))
        other = mesh.http_route("o", HTTPRouteRule(backend_refs=(mesh.http_backend("catalog"),)), parents=[CART])
        assert advance(compiler, mesh.service("catalog-v2"), bad, other) == {OTHER}
        assert advance(compiler, gone=(bad.ref,)) == frozenset()
        assert compiler.failures == {}
