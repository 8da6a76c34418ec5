"""All valid resources at one store revision, indexed and immutable.

A snapshot is a set of tables. `update` gives the next snapshot and the facts (table and key) that differ, so that
whoever remembers which facts it read knows what to compute again: a change costs what it touches. Whatever is
looked up on the compile path has a table here; nothing there loops over all objects.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from tulle.model import vips
from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ServiceName, WorkloadName
from tulle.model.reference_grant import ReferenceGrant
from tulle.model.service import Service, ServicePortSpec
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload

Protocol: TypeAlias = Literal["http", "http2", "tcp"]

PROTOCOLS: Mapping[str, Protocol] = {
    "http": "http",
    "kubernetes.io/ws": "http",
    "http2": "http2",
    "grpc": "http2",
    "kubernetes.io/h2c": "http2",
    "https": "tcp",
    "tls": "tcp",
    "tcp": "tcp",
}


class PortEntry(Struct, frozen=True, gc=False):
    """A service's port with its protocol decided. `target`: a port number, or the name of a workload's port."""

    port: int
    name: str
    target: int | str
    protocol: Protocol


class ServiceEntry(Struct, frozen=True, gc=False):
    """What the mesh knows of a service. `addresses`: virtual IPv4, then IPv6. `service_accounts`: those that its
    workloads may have, where it says so."""

    name: ServiceName
    addresses: tuple[str, ...]
    ports: tuple[PortEntry, ...]
    selector: tuple[tuple[str, str], ...]
    service_accounts: tuple[str, ...] = ()

    def port(self, number: int) -> PortEntry | None:
        return next((p for p in self.ports if p.port == number), None)


class MixedPort(Struct, frozen=True, gc=False, order=True):
    """A port whose protocol is not the one of its service's address range."""

    addresses: tuple[str, ...]
    port: int
    protocol: Protocol


class Fact(Struct, frozen=True, gc=False):
    """One entry of one table: what a view may depend on."""

    table: str
    key: object


Label: TypeAlias = tuple[str, str, str]  # namespace, label key, label value
NO_KEY = ""


class Snapshot(Struct, frozen=True):
    """Tables by name, then indexes: sorted tuples of names. A missing key means that there is none."""

    revision: int = 0
    objects: Mapping[ObjectRef, Resource] = {}
    workloads: Mapping[WorkloadName, Workload] = {}
    services: Mapping[ServiceName, ServiceEntry] = {}
    addresses: Mapping[str, ServiceName] = {}

    mixed_ports: Mapping[str, tuple[MixedPort, ...]] = {}
    http_routes: Mapping[ServiceName, tuple[ObjectRef, ...]] = {}
    tcp_routes: Mapping[ServiceName, tuple[ObjectRef, ...]] = {}
    grants: Mapping[str, tuple[ObjectRef, ...]] = {}
    members: Mapping[ServiceName, tuple[WorkloadName, ...]] = {}
    services_of: Mapping[WorkloadName, tuple[ServiceName, ...]] = {}
    refused: Mapping[ServiceName, tuple[WorkloadName, ...]] = {}
    refused_by: Mapping[WorkloadName, tuple[ServiceName, ...]] = {}
    node_workloads: Mapping[str, tuple[WorkloadName, ...]] = {}
    node_apps: Mapping[str, tuple[ObjectRef, ...]] = {}
    labelled: Mapping[Label, tuple[WorkloadName, ...]] = {}
    labelled_apps: Mapping[Label, tuple[ObjectRef, ...]] = {}
    selecting: Mapping[Label, tuple[ServiceName, ...]] = {}


EMPTY = Snapshot()


def build(resources: Iterable[Resource], revision: int = 0) -> Snapshot:
    """The snapshot that holds exactly `resources`."""
    return update(EMPTY, {r.ref: r for r in resources}, revision)[0]


def update(
    old: Snapshot, changes: Mapping[ObjectRef, Resource | None], revision: int
) -> tuple[Snapshot, frozenset[Fact]]:
    """Applies changes (None: deleted); returns the next snapshot and the facts in which it differs."""
    draft = _Draft(old)
    for ref in sorted(changes, key=lambda ref: (_age(changes[ref]), ref)):
        _apply(draft, ref, changes[ref])
    for service in sorted(draft.stale_members):
        _select_members(draft, service)
    return draft.finish(revision), frozenset(draft.facts)


T = TypeVar("T")


class _Draft:
    """A snapshot being written. Tables are copied when they are first touched; the sets behind indexes are worked
    on as sets and written back once, so that loading everything costs no more than its size."""

    def __init__(self, old: Snapshot) -> None:
        self.old = old
        self.tables: dict[str, dict[object, object]] = {}
        self.sets: dict[tuple[str, object], set[Any]] = {}
        self.facts: set[Fact] = set()
        self.stale_members: set[ServiceName] = set()

    def table(self, name: str) -> Mapping[object, object]:
        copy = self.tables.get(name)
        return getattr(self.old, name) if copy is None else copy

    def get(self, table: str, key: object, kind: type[T]) -> T | None:
        value = self.table(table).get(key)
        return value if isinstance(value, kind) else None

    def put(self, table: str, key: object, value: object | None) -> None:
        """Writes an entry; None or an empty tuple removes it. Equal values are no change."""
        after = value or None
        if self.get(table, key, object) == after:
            return
        copy = self.tables.get(table)
        if copy is None:
            copy = self.tables[table] = dict(getattr(self.old, table))
        if after is None:
            del copy[key]
        else:
            copy[key] = after
        self.facts.add(Fact(table, key))

    def set(self, index: str, key: object) -> set[Any]:
        """The set behind an index's entry, to read or to change."""
        found = self.sets.get((index, key))
        if found is None:
            found = self.sets[index, key] = set(getattr(self.old, index).get(key, ()))
        return found

    def move(self, index: str, before: Iterable[object], after: Iterable[object], name: object) -> None:
        """Takes `name` out of the sets at `before` and puts it into those at `after`; what stays is not touched."""
        old, new = set(before), set(after)
        for key in old - new:
            self.set(index, key).discard(name)
        for key in new - old:
            self.set(index, key).add(name)

    def finish(self, revision: int) -> Snapshot:
        for (index, key), members in self.sets.items():
            self.put(index, key, tuple(sorted(members)))
        fields = {name: self.tables.get(name, getattr(self.old, name)) for name in Snapshot.__struct_fields__}
        return Snapshot(**{**fields, "revision": revision})


def _apply(draft: _Draft, ref: ObjectRef, new: Resource | None) -> None:
    old = draft.get("objects", ref, Struct)
    draft.put("objects", ref, new)
    match new or old:
        case ReferenceGrant():
            draft.move("grants", [ref.namespace] if old else [], [ref.namespace] if new else [], ref)
        case App():
            _apply_app(draft, ref, old, new)
        case HTTPRoute() | GRPCRoute():
            draft.move("http_routes", parent_services(old), parent_services(new), ref)
        case TCPRoute():
            draft.move("tcp_routes", parent_services(old), parent_services(new), ref)
        case Service():
            _apply_service(draft, ServiceName(ref.namespace, ref.name), new)
        case Workload():
            _apply_workload(draft, WorkloadName(ref.namespace, ref.name), old, new)


def _age(resource: Resource | None) -> tuple[bool, str]:
    """Deletions come first, then what is older: of two services that declare one address the older has it, no matter
    whether the snapshot was built at once or step by step."""
    return resource is not None, resource.metadata.creation_timestamp if resource else ""


def _node(resource: Struct | None) -> tuple[str, ...]:
    return (resource.spec.node,) if isinstance(resource, App | Workload) else ()


def parent_services(route: Struct | None) -> tuple[ServiceName, ...]:
    """The services that a route names as parents, each once, in order; none for what is no route."""
    if not isinstance(route, HTTPRoute | GRPCRoute | TCPRoute):
        return ()
    parents = {
        ServiceName(p.namespace or route.metadata.namespace, p.name): None
        for p in route.spec.parent_refs
        if p.kind == "Service" and not p.group
    }
    return tuple(parents)


def protocol_of(port: ServicePortSpec) -> Protocol:
    """appProtocol, else the port's name up to the first dash, else plain TCP."""
    return PROTOCOLS.get(port.app_protocol or port.name.partition("-")[0], "tcp")


def _apply_service(draft: _Draft, name: ServiceName, new: Struct | None) -> None:
    before = draft.get("services", name, ServiceEntry)
    entry = _service_entry(draft, name, new, before) if isinstance(new, Service) else None
    draft.put("services", name, entry)
    for address in set(before.addresses if before else ()) - set(entry.addresses if entry else ()):
        draft.put("addresses", address, None)
    for address in entry.addresses if entry else ():
        draft.put("addresses", address, name)
    mixed = draft.set("mixed_ports", NO_KEY)
    mixed.difference_update(_mixed(before))
    mixed.update(_mixed(entry))
    draft.move("selecting", _first_label(before), _first_label(entry), name)
    draft.stale_members.add(name)


def _first_label(entry: ServiceEntry | None) -> tuple[Label, ...]:
    """One label that every workload of the service must have: what finds the service for a workload."""
    return ((entry.name.namespace, *entry.selector[0]),) if entry and entry.selector else ()


def _service_entry(draft: _Draft, name: ServiceName, service: Service, before: ServiceEntry | None) -> ServiceEntry:
    ports = tuple(PortEntry(p.port, p.name, p.target, protocol_of(p)) for p in _tcp_ports(service))
    addresses, selector = _addresses(draft, name, service, before), tuple(sorted(service.spec.selector.items()))
    return ServiceEntry(name, addresses, ports, selector, service.service_accounts)


def _tcp_ports(service: Service) -> tuple[ServicePortSpec, ...]:
    """The ports that are served. One of UDP may have the number of one of TCP and must not stand in for it."""
    return tuple(p for p in service.spec.ports if p.protocol == "TCP")


def _addresses(draft: _Draft, name: ServiceName, service: Service, before: ServiceEntry | None) -> tuple[str, ...]:
    """The declared address, else the one it has, else a free one; an address that another service has is not taken
    over, so that a mistake in one object does not redirect the traffic of another."""
    http = carries_any_http(service)
    declared = service.spec.cluster_ip
    if declared and vips.is_virtual(declared) and draft.get("addresses", declared, ServiceName) in (None, name):
        return (declared, vips.v6_of(declared))
    if before and vips.carries_http(before.addresses[0]) == http:
        return before.addresses
    address = vips.allocate(name, http, lambda a: a in draft.table("addresses"))
    return (address, vips.v6_of(address))


def carries_any_http(service: Service) -> bool:
    """A service with any HTTP port gets an address of the HTTP range; its other ports are exceptions there."""
    return any(protocol_of(p) != "tcp" for p in _tcp_ports(service))


def _mixed(entry: ServiceEntry | None) -> tuple[MixedPort, ...]:
    if entry is None:
        return ()
    http = vips.carries_http(entry.addresses[0])
    odd = (p for p in entry.ports if (p.protocol != "tcp") != http)
    return tuple(MixedPort(entry.addresses, p.port, p.protocol) for p in odd)


def _apply_app(draft: _Draft, ref: ObjectRef, old: Struct | None, new: Struct | None) -> None:
    draft.move("node_apps", _node(old), _node(new), ref)
    _relabel(draft, "labelled_apps", old, new, ref)


def _apply_workload(draft: _Draft, name: WorkloadName, old: Struct | None, new: Struct | None) -> None:
    draft.put("workloads", name, new)
    draft.move("node_workloads", _node(old), _node(new), name)
    _relabel(draft, "labelled", old, new, name)


def _relabel(draft: _Draft, index: str, old: Struct | None, new: Struct | None, name: object) -> None:
    """Finds `name` by its labels of now. The services that select by one of them, or did, may have other members."""
    before, after = _labels(old), _labels(new)
    draft.move(index, before, after, name)
    for label in {*before, *after}:
        draft.stale_members.update(draft.set("selecting", label))


def _labels(resource: Struct | None) -> tuple[Label, ...]:
    """The labels that a workload has, or that those of an App have."""
    if not isinstance(resource, App | Workload):
        return ()
    labels = resource.workload_labels if isinstance(resource, App) else resource.metadata.labels
    return tuple((resource.metadata.namespace, key, value) for key, value in labels.items())


def _select_members(draft: _Draft, service: ServiceName) -> None:
    """Decides anew which workloads are behind a service, and which it refuses although it selects them. A service
    without a selector has none."""
    entry = draft.get("services", service, ServiceEntry)
    labels = [(service.namespace, k, v) for k, v in (entry.selector if entry else ())]
    selected = _with_all(draft, "labelled", labels)
    workloads = {name: w for name in selected if (w := draft.get("workloads", name, Workload))}
    accounts = _service_accounts(draft, entry, labels, workloads.values()) if entry else frozenset()
    refused = {name for name, w in workloads.items() if accounts and w.spec.service_account not in accounts}
    _link(draft, ("members", "services_of"), service, selected - refused)
    _link(draft, ("refused", "refused_by"), service, refused)


def _with_all(draft: _Draft, index: str, labels: list[Label]) -> set[Any]:
    """What has all of the labels; nothing where there are none."""
    return set.intersection(*(draft.set(index, label) for label in labels)) if labels else set()


def _service_accounts(
    draft: _Draft, service: ServiceEntry, labels: list[Label], selected: Iterable[Workload]
) -> frozenset[str]:
    """Those that may stand behind a service: what it says itself, else those of Apps and of workloads declared by hand
    that it selects. Nodes report other workloads, labels included, and are not asked. None: any may."""
    if service.service_accounts:
        return frozenset(service.service_accounts)
    apps = (draft.get("objects", ref, App) for ref in _with_all(draft, "labelled_apps", labels))
    by_hand = {w.spec.service_account for w in selected if not w.spec.node}
    return frozenset({app.spec.service_account for app in apps if app} | by_hand)


def _link(draft: _Draft, indexes: tuple[str, str], service: ServiceName, workloads: set[WorkloadName]) -> None:
    """Makes exactly these workloads a service's in an index, and keeps the inverse index."""
    there, back = indexes
    linked = draft.set(there, service)
    for name in linked - workloads:
        draft.set(back, name).discard(service)
    for name in workloads - linked:
        draft.set(back, name).add(service)
    linked.clear()
    linked.update(workloads)
