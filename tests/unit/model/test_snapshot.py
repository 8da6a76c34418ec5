from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model import vips
from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ServiceName, WorkloadName
from tulle.model.reference_grant import ReferenceGrant
from tulle.model.service import Service, ServicePortSpec
from tulle.model.snapshot import (
    EMPTY,
    NO_KEY,
    Fact,
    MixedPort,
    Snapshot,
    build,
    parent_services,
    protocol_of,
    update,
)
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload

CATALOG = ServiceName("shop", "catalog")
WEB = WorkloadName("shop", "web-1")

INDEXES = (
    "http_routes",
    "tcp_routes",
    "grants",
    "members",
    "services_of",
    "refused",
    "refused_by",
    "node_workloads",
    "node_apps",
    "labelled",
    "labelled_apps",
)

Write = Mapping[ObjectRef, Resource | None]

writes: st.SearchStrategy[list[Write]] = st.lists(
    st.lists(st.tuples(mesh.resources, st.sampled_from([True, True, True, False])), min_size=1, max_size=4).map(
        lambda entries: {r.ref: r if kept else None for r, kept in entries}
    ),
    max_size=8,
)


def without_address(write: Write) -> Write:
    return {
        ref: replace(r, spec=replace(r.spec, cluster_ip="")) if isinstance(r, Service) else r
        for ref, r in write.items()
    }


def tables(snapshot: Snapshot) -> Mapping[str, Mapping[object, object]]:
    return {name: getattr(snapshot, name) for name in Snapshot.__struct_fields__ if name != "revision"}


def differences(old: Snapshot, new: Snapshot) -> set[Fact]:
    """Every entry of every table in which two snapshots differ, found by looking at all of them."""
    return {
        Fact(name, key)
        for name, before in tables(old).items()
        for key in {*before, *tables(new)[name]}
        if before.get(key) != tables(new)[name].get(key)
    }


def renumbered(snapshot: Snapshot) -> Mapping[str, Mapping[object, object]]:
    """The tables with every service at the same made-up address: all that is left to chance is left out."""
    services = {name: replace(entry, addresses=()) for name, entry in snapshot.services.items()}
    return {**tables(snapshot), "services": services, "addresses": {}, "mixed_ports": {}}


def applied(steps: Sequence[Write]) -> Snapshot:
    snapshot = EMPTY
    for revision, step in enumerate(steps, 1):
        snapshot, _ = update(snapshot, step, revision)
    return snapshot


def remaining(steps: Sequence[Write]) -> list[Resource]:
    kept: dict[ObjectRef, Resource | None] = {}
    for step in steps:
        kept |= step
    return [r for r in kept.values() if r is not None]


@settings(max_examples=150)
@given(writes)
def test_writes_one_by_one_give_what_building_at_once_gives(steps: list[Write]):
    steps = [without_address(step) for step in steps]
    assert tables(applied(steps)) == tables(build(remaining(steps)))


@settings(max_examples=150)
@given(writes)
def test_declared_addresses_leave_only_the_addresses_to_history(steps: list[Write]):
    assert renumbered(applied(steps)) == renumbered(build(remaining(steps)))


def selects(service: Service, resource: Workload | App) -> bool:
    labels = resource.workload_labels if isinstance(resource, App) else resource.metadata.labels
    selector, here = service.spec.selector, service.metadata.namespace == resource.metadata.namespace
    return here and bool(selector) and selector.items() <= labels.items()


def takes(snapshot: Snapshot, service: Service, workload: Workload) -> bool:
    """Whether a service that selects a workload has something to do with its service account."""
    declared = {
        r.spec.service_account
        for r in snapshot.objects.values()
        if (isinstance(r, App) or (isinstance(r, Workload) and not r.spec.node)) and selects(service, r)
    }
    accounts = set(service.service_accounts) or declared
    return not accounts or workload.spec.service_account in accounts


def looked_up(snapshot: Snapshot) -> Mapping[str, Mapping[object, object]]:
    """Every index, made by looking at all objects."""
    index: dict[str, dict[object, set[object]]] = {name: {} for name in INDEXES}

    def put(name: str, key: object, value: object) -> None:
        index[name].setdefault(key, set()).add(value)

    for ref, resource in snapshot.objects.items():
        space = ref.namespace
        match resource:
            case ReferenceGrant():
                put("grants", space, ref)
            case App(spec=spec):
                put("node_apps", spec.node, ref)
                for key, value in resource.workload_labels.items():
                    put("labelled_apps", (space, key, value), ref)
            case HTTPRoute() | GRPCRoute() | TCPRoute():
                for parent in parent_services(resource):
                    put("tcp_routes" if ref.kind == "TCPRoute" else "http_routes", parent, ref)
            case Workload(spec=spec):
                put("node_workloads", spec.node, WorkloadName(space, ref.name))
                for key, value in resource.metadata.labels.items():
                    put("labelled", (space, key, value), WorkloadName(space, ref.name))
                for service in snapshot.objects.values():
                    if isinstance(service, Service) and selects(service, resource):
                        taken = takes(snapshot, service, resource)
                        there, back = ("members", "services_of") if taken else ("refused", "refused_by")
                        name = ServiceName(space, service.metadata.name)
                        put(there, name, WorkloadName(space, ref.name))
                        put(back, WorkloadName(space, ref.name), name)
    return {name: {key: tuple(sorted(found)) for key, found in entries.items()} for name, entries in index.items()}


@settings(max_examples=150)
@given(writes)
def test_indexes_find_what_looking_at_everything_finds(steps: list[Write]):
    snapshot = applied(steps)
    assert {name: dict(tables(snapshot)[name]) for name in INDEXES} == looked_up(snapshot)
    assert snapshot.objects == {r.ref: r for r in remaining(steps)}
    assert {w.ref for w in snapshot.workloads.values()} == {r for r in snapshot.objects if r.kind == "Workload"}
    assert len(snapshot.services) == sum(r.kind == "Service" for r in snapshot.objects)


@settings(max_examples=150)
@given(writes)
def test_the_facts_are_exactly_the_differences(steps: list[Write]):
    snapshot = EMPTY
    for revision, step in enumerate(steps, 1):
        after, facts = update(snapshot, step, revision)
        assert facts == differences(snapshot, after)
        assert after.revision == revision
        snapshot = after


@settings(max_examples=150)
@given(writes)
def test_every_service_has_addresses_of_its_own(steps: list[Write]):
    snapshot = EMPTY
    for step in steps:
        before, (snapshot, _) = snapshot, update(snapshot, step, 1)
        owned = {address: name for name, entry in snapshot.services.items() for address in entry.addresses}
        assert snapshot.addresses == owned
        assert len(owned) == 2 * len(snapshot.services)
        for name, entry in snapshot.services.items():
            assert entry.addresses[1] == vips.v6_of(entry.addresses[0])
            if name in before.services and ObjectRef("v1", "Service", name.namespace, name.name) not in step:
                assert entry == before.services[name]


@settings(max_examples=100)
@given(st.lists(mesh.resources, max_size=12))
def test_a_snapshot_that_has_lost_everything_is_empty(resources: list[Resource]):
    full = build(resources)
    empty, facts = update(full, dict.fromkeys(full.objects), 0)
    assert empty == EMPTY
    assert facts == differences(full, EMPTY)


@given(st.lists(mesh.resources, max_size=12))
def test_writing_what_is_there_changes_nothing(resources: list[Resource]):
    full = build(resources)
    again, facts = update(full, dict(full.objects), 7)
    assert not facts
    assert again == replace(full, revision=7)


def test_an_older_snapshot_stays_as_it_was():
    before = build([mesh.service("catalog")])
    kept = tables(before)
    copy = {name: dict(table) for name, table in kept.items()}
    update(before, {mesh.service("cart").ref: mesh.service("cart"), mesh.service("catalog").ref: None}, 2)
    assert tables(before) == copy


class TestMembers:
    def test_are_the_workloads_of_the_namespace_with_all_labels_of_the_selector(self):
        snapshot = build(
            [
                mesh.service("catalog", selector={"app": "catalog", "tier": "front"}),
                mesh.workload("both", labels={"app": "catalog", "tier": "front", "x": "y"}),
                mesh.workload("one", labels={"app": "catalog"}),
                mesh.workload("other", labels={"app": "catalog", "tier": "back"}),
                mesh.workload("far", namespace="bank", labels={"app": "catalog", "tier": "front"}),
            ]
        )
        assert snapshot.members == {CATALOG: (WorkloadName("shop", "both"),)}
        assert snapshot.services_of == {WorkloadName("shop", "both"): (CATALOG,)}

    def test_of_a_service_without_a_selector_are_none(self):
        assert build([mesh.service("catalog", selector={}), mesh.workload("web-1", "catalog")]).members == {}

    @pytest.mark.parametrize("first", ["service", "workload"])
    def test_do_not_depend_on_what_came_first(self, first: str):
        service, workload = mesh.service("catalog"), mesh.workload("web-1", "catalog")
        one, two = (service, workload) if first == "service" else (workload, service)
        snapshot, _ = update(build([one]), {two.ref: two}, 2)
        assert snapshot.members == {CATALOG: (WEB,)}

    def test_leave_with_their_label(self):
        before = build([mesh.service("catalog"), mesh.workload("web-1", "catalog")])
        changed = mesh.workload("web-1", "catalog", labels={"app": "cart"})
        after, facts = update(before, {changed.ref: changed}, 2)
        assert after.members == after.services_of == {}
        assert Fact("members", CATALOG) in facts

    def test_follow_a_changed_selector(self):
        before = build([mesh.service("catalog"), mesh.workload("web-1", "catalog"), mesh.workload("cart-1", "cart")])
        changed = mesh.service("catalog", selector={"app": "cart"})
        after, _ = update(before, {changed.ref: changed}, 2)
        assert after.members == {CATALOG: (WorkloadName("shop", "cart-1"),)}

    def test_have_a_service_account_of_the_apps_that_the_service_selects(self):
        mine, strange = mesh.workload("catalog-1", "catalog"), mesh.workload("web-1", "catalog", account="web")
        snapshot = build([mesh.service("catalog"), mesh.app("catalog"), mine, strange])
        assert snapshot.members == {CATALOG: (WorkloadName("shop", "catalog-1"),)}
        assert snapshot.refused == {CATALOG: (WEB,)}
        assert snapshot.refused_by == {WEB: (CATALOG,)}

    def test_have_a_service_account_of_those_declared_by_hand(self):
        by_hand, strange = mesh.workload("old", "catalog", node=""), mesh.workload("web-1", "catalog", account="web")
        assert build([mesh.service("catalog"), by_hand, strange]).members == {CATALOG: (WorkloadName("shop", "old"),)}

    def test_have_a_service_account_that_the_service_names(self):
        named = mesh.workload("web-1", "catalog", account="web")
        service = mesh.service("catalog", accounts=" web ,catalog-next")
        other = mesh.workload("catalog-1", "catalog")
        assert build([service, mesh.app("catalog"), named, other]).members == {CATALOG: (WEB,)}

    def test_have_any_service_account_where_nobody_has_said(self):
        assert build([mesh.service("catalog"), mesh.workload("web-1", "catalog", account="web")]).members == {
            CATALOG: (WEB,)
        }

    def test_are_other_ones_when_an_app_has_another_service_account(self):
        before = build([mesh.service("catalog"), mesh.app("catalog"), mesh.workload("web-1", "catalog", account="web")])
        app = mesh.app("catalog", account="web")
        after, facts = update(before, {app.ref: app}, 2)
        assert after.members == {CATALOG: (WEB,)}
        assert {Fact("members", CATALOG), Fact("refused_by", WEB)} <= facts

    def test_a_workload_that_only_changes_state_is_no_change_of_membership(self):
        before = build([mesh.service("catalog"), mesh.workload("web-1", "catalog")])
        ready = mesh.workload("web-1", "catalog", state="Draining")
        _, facts = update(before, {ready.ref: ready}, 2)
        assert facts == {Fact("objects", ready.ref), Fact("workloads", WEB)}


class TestRoutes:
    def test_are_found_by_parent_whatever_namespace_they_are_in(self):
        own = mesh.http_route("own", parents=[mesh.parent("catalog")])
        consumer = mesh.grpc_route("consumer", parents=[mesh.parent("catalog", namespace="shop")], namespace="bank")
        tcp = mesh.tcp_route("tcp", parents=[mesh.parent("catalog")])
        elsewhere = mesh.http_route("elsewhere", parents=[mesh.parent("catalog")], namespace="bank")
        snapshot = build([own, consumer, tcp, elsewhere])
        assert set(snapshot.http_routes[CATALOG]) == {own.ref, consumer.ref}
        assert snapshot.http_routes[ServiceName("bank", "catalog")] == (elsewhere.ref,)
        assert snapshot.tcp_routes == {CATALOG: (tcp.ref,)}

    def test_leave_a_parent_they_no_longer_name(self):
        before = build([mesh.http_route("r", parents=[mesh.parent("catalog"), mesh.parent("cart")])])
        changed = mesh.http_route("r", parents=[mesh.parent("cart")])
        after, facts = update(before, {changed.ref: changed}, 2)
        assert after.http_routes == {ServiceName("shop", "cart"): (changed.ref,)}
        assert facts == {Fact("objects", changed.ref), Fact("http_routes", CATALOG)}

    def test_gateways_and_other_groups_are_no_parents(self):
        gateway = replace(mesh.parent("catalog"), kind="Gateway")
        grouped = replace(mesh.parent("catalog"), group="multicluster.x-k8s.io")
        assert parent_services(mesh.http_route("r", parents=[gateway, grouped])) == ()

    def test_a_parent_named_twice_counts_once(self):
        parents = [mesh.parent("catalog", port=80), mesh.parent("catalog", port=81, namespace="shop")]
        assert parent_services(mesh.http_route("r", parents=parents)) == (CATALOG,)


class TestProtocol:
    @pytest.mark.parametrize(
        ("name", "app_protocol", "protocol"),
        [
            ("http", "", "http"),
            ("http-web", "", "http"),
            ("grpc", "", "http2"),
            ("http2-x", "", "http2"),
            ("https", "", "tcp"),
            ("", "", "tcp"),
            ("web", "", "tcp"),
            ("httpx", "", "tcp"),
            ("http", "tcp", "tcp"),
            ("tcp", "grpc", "http2"),
            ("x", "kubernetes.io/h2c", "http2"),
            ("x", "kubernetes.io/ws", "http"),
            ("http", "example.com/own", "tcp"),
        ],
    )
    def test_is_what_the_port_says_and_then_what_its_name_says(self, name: str, app_protocol: str, protocol: str):
        assert protocol_of(ServicePortSpec(80, name, app_protocol=app_protocol)) == protocol

    def test_a_port_of_udp_is_not_served_and_hides_none_of_tcp(self):
        ports = [ServicePortSpec(53, "http-udp", "UDP"), ServicePortSpec(53, "tcp-dns")]
        entry = build([mesh.service("dns", ports)]).services[ServiceName("shop", "dns")]
        assert [(p.port, p.name, p.protocol) for p in entry.ports] == [(53, "tcp-dns", "tcp")]
        assert not vips.carries_http(entry.addresses[0])


class TestAddresses:
    def address(self, snapshot: Snapshot, name: ServiceName = CATALOG) -> str:
        return snapshot.services[name].addresses[0]

    @pytest.mark.parametrize(
        ("ports", "http"), [([mesh.HTTP], True), ([mesh.TCP], False), ([mesh.TCP, mesh.HTTP], True), ([], False)]
    )
    def test_lie_in_the_range_of_http_if_any_port_carries_it(self, ports: list[ServicePortSpec], http: bool):
        assert vips.carries_http(self.address(build([mesh.service("catalog", ports)]))) is http

    def test_a_declared_one_is_used(self):
        snapshot = build([mesh.service("catalog", address="240.240.0.1")])
        assert snapshot.services[CATALOG].addresses == ("240.240.0.1", "fd74:756c:6c65:1::f0f0:1")

    @pytest.mark.parametrize("declared", ["10.96.0.1", "fd00::1", "None"])
    def test_a_declared_one_that_is_not_the_meshs_is_left_alone(self, declared: str):
        snapshot = build([mesh.service("catalog", address=declared)])
        assert self.address(snapshot) == self.address(build([mesh.service("catalog")]))

    def test_stay_when_the_declaration_goes(self):
        before = build([mesh.service("catalog", address="240.240.0.1")])
        changed = mesh.service("catalog")
        assert self.address(update(before, {changed.ref: changed}, 2)[0]) == "240.240.0.1"

    def test_change_when_the_range_would_be_wrong(self):
        before = build([mesh.service("catalog")])
        changed = mesh.service("catalog", [mesh.TCP])
        after, facts = update(before, {changed.ref: changed}, 2)
        assert not vips.carries_http(self.address(after))
        assert {Fact("addresses", a) for a in (self.address(before), self.address(after))} <= facts

    def test_a_declared_range_counts_more_than_the_ports(self):
        """The address that a service was given stays with it; its ports become exceptions."""
        snapshot = build([mesh.service("catalog", [mesh.TCP], address="240.240.0.1")])
        assert self.address(snapshot) == "240.240.0.1"
        assert [p.port for p in snapshot.mixed_ports[NO_KEY]] == [9000]

    def test_one_that_another_service_has_is_not_taken_over(self):
        before = build([mesh.service("zebra", address="240.240.0.1")])
        thief = mesh.service("catalog", address="240.240.0.1")
        after, facts = update(before, {thief.ref: thief}, 2)
        assert self.address(after, ServiceName("shop", "zebra")) == "240.240.0.1"
        assert self.address(after) == self.address(build([mesh.service("catalog")]))
        assert Fact("addresses", "240.240.0.1") not in facts

    def test_of_two_that_declare_one_the_older_has_it_after_a_restart_too(self):
        old = mesh.service("zebra", address="240.240.0.1")
        old = replace(old, metadata=replace(old.metadata, creation_timestamp="2026-01-01T00:00:00Z"))
        new = mesh.service("catalog", address="240.240.0.1")
        new = replace(new, metadata=replace(new.metadata, creation_timestamp="2026-01-02T00:00:00Z"))
        assert build([new, old]).addresses["240.240.0.1"] == ServiceName("shop", "zebra")

    def test_one_that_is_given_up_can_be_taken_in_the_same_write(self):
        before = build([mesh.service("zebra", address="240.240.0.1")])
        heir = mesh.service("catalog", address="240.240.0.1")
        after, _ = update(before, {heir.ref: heir, mesh.service("zebra").ref: None}, 2)
        assert self.address(after) == "240.240.0.1"

    def test_a_clash_of_hashes_gives_the_next_free_address(self):
        wanted = self.address(build([mesh.service("catalog")]))
        before = build([mesh.service("squatter", address=wanted)])
        after, _ = update(before, {mesh.service("catalog").ref: mesh.service("catalog")}, 2)
        assert self.address(after) == vips.allocate(CATALOG, True, lambda a: a == wanted)


class TestMixedPorts:
    def test_are_those_that_their_range_does_not_expect(self):
        snapshot = build([mesh.service("catalog", [mesh.HTTP, mesh.TCP]), mesh.service("cart"), mesh.service("x", [])])
        addresses = snapshot.services[CATALOG].addresses
        assert snapshot.mixed_ports == {NO_KEY: (MixedPort(addresses, 9000, "tcp"),)}

    def test_go_with_their_service(self):
        mixed = mesh.service("catalog", [mesh.HTTP, mesh.TCP])
        after, facts = update(build([mixed]), {mixed.ref: None}, 2)
        assert after.mixed_ports == {}
        assert Fact("mixed_ports", NO_KEY) in facts
