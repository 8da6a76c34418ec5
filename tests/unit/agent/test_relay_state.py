"""The relay's decisions, between a control plane and a proxy that both speak through real sessions."""

from collections.abc import Callable

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tulle.agent.cache import CacheContents
from tulle.agent.relay_state import Answer, Changed, Output, RelayState, Save, Subscribe, Unsubscribe, wait
from tulle.stream.client import Update, read_update
from tulle.stream.protocol import ABSENT, PENDING, Absent, Event, Nacked, Pending
from tulle.stream.session import DeltaSession
from tulle.stream.subscription import Subscriptions
from tulle.xds.resource import Resource, resource
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, VIRTUAL_HOST


class ControlPlane:
    """A source that holds what a test puts into it."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], Resource] = {}
        self.root_names: dict[str, tuple[str, ...]] = {}
        self.events: list[Event] = []

    def put(self, type_url: str, name: str, body: str) -> None:
        self.resources[type_url, name] = resource(type_url, name, body.encode())

    def get(self, type_url: str, name: str) -> Resource | Absent:
        return self.resources.get((type_url, name), ABSENT)

    def roots(self, type_url: str) -> tuple[str, ...]:
        return self.root_names.get(type_url, ())


def update(data: bytes) -> Update:
    return read_update(1, discovery_pb2.DeltaDiscoveryResponse.FromString(data))


class Mesh:
    """A control plane, a relay and a proxy, each of which can go and come back. Nothing is lost in between, and
    everything that can happen has happened when a method returns."""

    def __init__(self, contents: CacheContents | None = None, fallback: Callable[[str, str], Resource] | None = None):
        self.control = ControlPlane()
        self.relay = RelayState(contents or CacheContents(), fallback or wait)
        self.wishes = Subscriptions(base_pb2.Node(id="n1"), lambda type_url: self.relay.held(type_url))
        self.refuses: set[str] = set()
        self.up: DeltaSession | None = None
        self.down: DeltaSession | None = None
        self.has: dict[tuple[str, str], str] = {}
        self.removed: list[tuple[str, str]] = []
        self.requests: list[discovery_pb2.DeltaDiscoveryRequest] = []
        self.answers: list[tuple[str, ...]] = []
        self.saves = 0
        self.streams = 0
        self.types_heard: set[str] = set()

    # the control plane

    def open_upstream(self) -> None:
        self.streams += 1
        self.up = DeltaSession(self.control, f"up{self.streams}-")
        self.wishes.restart()
        self.pump()

    def lose_upstream(self) -> None:
        self.up = None
        self.relay.upstream_lost()

    def change(self, type_url: str, name: str, body: str | None) -> None:
        if body is None:
            del self.control.resources[type_url, name]
        else:
            self.control.put(type_url, name, body)
        if self.up is not None:
            self.up.changed([(type_url, name)])
            self.up.roots_changed(type_url)
            self.pump()

    # the proxy

    def connect_proxy(self, keep: bool = False) -> None:
        self.streams += 1
        if not keep:
            self.has.clear()
        self.types_heard.clear()
        self.down = DeltaSession(self.relay, f"down{self.streams}-")
        self.relay.proxy_connected()

    def lose_proxy(self) -> None:
        self.down = None
        self.carry_out(self.relay.proxy_lost())

    def subscribe(self, type_url: str, *names: str, held: dict[str, str] | None = None) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        request.initial_resource_versions.update(held or {})
        self.from_proxy(request)

    def unsubscribe(self, type_url: str, *names: str) -> None:
        self.from_proxy(discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_unsubscribe=names))

    def from_proxy(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        assert self.down is not None
        events = self.down.receive(request)
        if request.type_url not in self.types_heard:
            self.types_heard.add(request.type_url)
            self.carry_out(self.relay.proxy_brings(request.type_url, self.down.acknowledged(request.type_url)))
        for event in events:
            self.carry_out(self.relay.heard(event))
        self.pump()

    # the way between

    def carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Subscribe(type_url, names):
                    self.wishes.subscribe(type_url, names)
                case Unsubscribe(type_url, names):
                    self.wishes.unsubscribe(type_url, names)
                case Answer(update, error) if self.up is not None:
                    self.wishes.answer(update.type_url, update.nonce, error)
                case Changed(type_url, names, roots) if self.down is not None:
                    self.down.changed([(type_url, name) for name in names])
                    if roots:
                        self.down.roots_changed(type_url)
                case Save():
                    self.saves += 1
        self.pump()

    def pump(self) -> None:
        while self.up is not None and (request := self.wishes.next_request()) is not None:
            self.requests.append(request)
            self.control.events += self.up.receive(request)
        while self.up is not None and (data := self.up.next_response()) is not None:
            self.carry_out(self.relay.received(update(data)))
        while self.down is not None and (data := self.down.next_response()) is not None:
            self.answer(discovery_pb2.DeltaDiscoveryResponse.FromString(data))
        if self.down is not None:
            for type_url in self.relay.waiting:
                if outputs := self.relay.proxy_has(type_url, self.down.acknowledged(type_url)):
                    self.carry_out(outputs)

    def answer(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        names = [envelope.name for envelope in response.resources]
        self.answers.append((response.type_url, *names))
        bad = [each.name for each in response.resources if each.resource.value.decode() in self.refuses]
        if bad:
            request.error_detail.message = f"cannot add {', '.join(bad)}"
        else:
            for envelope in response.resources:
                self.has[response.type_url, envelope.name] = envelope.resource.value.decode()
            for name in response.removed_resources:
                self.has.pop((response.type_url, name), None)
                self.removed.append((response.type_url, name))
        self.from_proxy(request)

    def restarted_relay(self, contents: CacheContents | None = None) -> None:
        """The relay is made anew from what is on disk; both streams are gone."""
        contents = contents or self.relay.contents()
        self.up = self.down = None
        self.relay = RelayState(contents)
        self.wishes = Subscriptions(base_pb2.Node(id="n1"), lambda type_url: self.relay.held(type_url))
        self.carry_out(self.relay.wishes())


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh()
    mesh.control.put(LISTENER, "in", "l1")
    mesh.control.put(CLUSTER, "local", "c1")
    mesh.control.put(CLUSTER, "remote", "r1")
    mesh.control.put(ENDPOINTS, "remote", "e1")
    mesh.control.root_names = {LISTENER: ("in",), CLUSTER: ("local",)}
    return mesh


def start(mesh: Mesh) -> None:
    """A proxy that starts, and then calls one service."""
    mesh.connect_proxy()
    mesh.subscribe(CLUSTER)
    mesh.subscribe(LISTENER)
    mesh.subscribe(CLUSTER, "remote")
    mesh.subscribe(ENDPOINTS, "remote")


EVERYTHING = {
    (LISTENER, "in"): "l1",
    (CLUSTER, "local"): "c1",
    (CLUSTER, "remote"): "r1",
    (ENDPOINTS, "remote"): "e1",
}


def test_what_the_proxy_asks_for_is_asked_of_the_control_plane_and_given(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    assert mesh.has == EVERYTHING
    assert mesh.up is not None
    assert mesh.up.subscriptions(CLUSTER) == {"*", "remote"}
    assert mesh.up.subscriptions(ENDPOINTS) == {"remote"}
    assert mesh.up.in_sync
    assert mesh.relay.contents().roots == {LISTENER: ("in",), CLUSTER: ("local",)}
    assert not mesh.relay.contents().unproven


def test_the_control_plane_gone_everything_stays(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.lose_upstream()
    mesh.relay.set_away(True)
    mesh.lose_proxy()
    start(mesh)
    assert mesh.has == EVERYTHING


def test_from_disk_alone(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.restarted_relay()
    start(mesh)
    assert mesh.has == EVERYTHING


def test_a_reconnect_sends_nothing_that_is_known_and_what_changed_meanwhile(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.lose_upstream()
    mesh.change(ENDPOINTS, "remote", "e2")
    mesh.change(CLUSTER, "remote", None)
    mesh.answers.clear()
    mesh.open_upstream()
    assert mesh.has == {(LISTENER, "in"): "l1", (CLUSTER, "local"): "c1", (ENDPOINTS, "remote"): "e2"}
    # Clusters twice: an empty answer for the wildcard needs no passing on, the removal does.
    assert sorted(mesh.answers) == [(CLUSTER,), (ENDPOINTS, "remote")]


def test_after_a_restart_from_disk_nothing_is_sent_again(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.restarted_relay()
    mesh.requests.clear()
    mesh.open_upstream()
    assert mesh.up is not None
    assert mesh.up.in_sync
    first = {request.type_url: request for request in mesh.requests if not request.response_nonce}
    assert first[CLUSTER].resource_names_subscribe == ["*", "remote"]
    assert set(first[CLUSTER].initial_resource_versions) == {"local", "remote"}
    mesh.answers.clear()
    held = {name: mesh.control.resources[CLUSTER, name].version for name in ("local", "remote")}
    mesh.connect_proxy(keep=True)
    mesh.subscribe(CLUSTER, "*", "remote", held=held)
    assert mesh.answers == [(CLUSTER,)]


def test_removals_are_passed_on(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.control.root_names[LISTENER] = ()
    mesh.change(LISTENER, "in", None)
    assert (LISTENER, "in") not in mesh.has
    assert mesh.relay.contents().roots[LISTENER] == ()


def test_an_acknowledgement_waits_for_the_proxy(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.control.put(LISTENER, "in", "l2")
    assert mesh.up is not None
    mesh.up.changed([(LISTENER, "in")])
    data = mesh.up.next_response()
    assert data is not None
    outputs = mesh.relay.received(update(data))
    assert outputs == [Changed(LISTENER, ("in",)), Save()]
    mesh.requests.clear()
    mesh.carry_out(outputs)
    (request,) = mesh.requests
    assert (request.type_url, request.HasField("error_detail")) == (LISTENER, False)


def test_a_refusal_reaches_the_control_plane_in_the_proxys_words_and_the_last_good_one_stays(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.refuses.add("bad")
    mesh.change(LISTENER, "in", "bad")
    nacks = [event for event in mesh.control.events if isinstance(event, Nacked)]
    assert [(nack.culprit, nack.message) for nack in nacks] == [("in", "cannot add in")]
    assert mesh.relay.refusals == ((LISTENER, "in", "cannot add in"),)
    good = mesh.relay.get(LISTENER, "in")
    assert isinstance(good, Resource)
    assert good.body == b"l1"
    mesh.lose_proxy()
    start(mesh)
    assert mesh.has == EVERYTHING
    mesh.change(LISTENER, "in", "l3")
    assert mesh.has[LISTENER, "in"] == "l3"
    assert mesh.relay.refusals == ()


def test_a_proxy_that_refuses_the_last_good_one_too_is_left_alone(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.refuses |= {"bad", "l1"}
    mesh.change(LISTENER, "in", "bad")
    assert mesh.has[LISTENER, "in"] == "l1"
    mesh.change(LISTENER, "in", "l2")
    assert mesh.has[LISTENER, "in"] == "l2"
    assert mesh.relay.refusals == ()


def test_the_others_of_a_refused_response_arrive(mesh: Mesh) -> None:
    mesh.control.put(CLUSTER, "other", "o1")
    mesh.control.root_names[CLUSTER] = ("local", "other")
    mesh.refuses.add("c1")
    mesh.open_upstream()
    mesh.connect_proxy()
    mesh.subscribe(CLUSTER)
    assert mesh.has == {(CLUSTER, "other"): "o1"}
    assert mesh.relay.get(CLUSTER, "local") is PENDING
    assert [event.culprit for event in mesh.control.events if isinstance(event, Nacked) and event.culprit] == ["local"]


def test_a_known_refusal_is_answered_without_the_proxy(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.refuses.add("bad")
    mesh.change(LISTENER, "in", "bad")
    mesh.lose_upstream()
    mesh.control.events.clear()
    mesh.answers.clear()
    mesh.open_upstream()
    assert [event.message for event in mesh.control.events if isinstance(event, Nacked)] == ["cannot add in"]
    assert mesh.answers == []


def test_without_a_proxy_everything_is_acknowledged_and_kept_unproven(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.lose_proxy()
    mesh.change(LISTENER, "in", "l2")
    assert mesh.up is not None
    assert mesh.up.in_sync
    contents = mesh.relay.contents()
    assert set(contents.unproven) == {LISTENER}
    assert contents.good[LISTENER]["in"] != contents.unproven[LISTENER]["in"]
    start(mesh)
    assert mesh.has[LISTENER, "in"] == "l2"
    assert not mesh.relay.contents().unproven


def test_a_late_refusal_is_passed_on_too(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.lose_proxy()
    mesh.change(LISTENER, "in", "bad")
    mesh.refuses.add("bad")
    mesh.control.events.clear()
    start(mesh)
    assert [event.message for event in mesh.control.events if isinstance(event, Nacked)] == ["cannot add in"]
    assert mesh.relay.contents().roots[LISTENER] == ("in",)
    good = mesh.relay.get(LISTENER, "in")
    assert isinstance(good, Resource)
    assert good.body == b"l1"


def test_a_proxy_that_goes_while_it_is_waited_for_holds_nothing_up(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    down, mesh.down = mesh.down, None
    mesh.change(LISTENER, "in", "l2")
    assert mesh.up is not None
    assert not mesh.up.in_sync
    mesh.down = down
    mesh.lose_proxy()
    assert mesh.up.in_sync


def survive_a_lost_write(mesh: Mesh) -> None:
    """A running proxy has more, and newer, than the disk; it comes back to a relay that starts from the disk."""
    mesh.open_upstream()
    start(mesh)
    stale = mesh.relay.contents()
    mesh.change(ENDPOINTS, "remote", "e2")
    mesh.control.root_names[LISTENER] = ("in", "in2")
    mesh.change(LISTENER, "in2", "l2")
    mesh.control.put(CLUSTER, "late", "late1")
    mesh.subscribe(CLUSTER, "late")
    assert mesh.has[CLUSTER, "late"] == "late1"
    mesh.up = None
    mesh.restarted_relay(stale)
    mesh.connect_proxy(keep=True)


def bring_all_back(mesh: Mesh) -> None:
    for type_url, names in ((CLUSTER, ("*", "remote", "late")), (LISTENER, ("*",)), (ENDPOINTS, ("remote",))):
        held = {
            name: mesh.control.resources[type_url, name].version
            for of_type, name in mesh.control.resources
            if of_type == type_url
        }
        mesh.subscribe(type_url, *names, held=held)


NEWEST = {**EVERYTHING, (ENDPOINTS, "remote"): "e2", (LISTENER, "in2"): "l2", (CLUSTER, "late"): "late1"}


def test_a_proxy_keeps_what_is_newer_than_the_disk_while_the_control_plane_is_away(mesh: Mesh) -> None:
    survive_a_lost_write(mesh)
    mesh.carry_out(mesh.relay.set_away(True))
    mesh.answers.clear()
    bring_all_back(mesh)
    assert mesh.has == NEWEST
    assert mesh.removed == []
    assert set(mesh.answers) <= {(CLUSTER,), (LISTENER,)}
    mesh.open_upstream()
    assert mesh.up is not None
    assert mesh.up.in_sync
    assert mesh.has == NEWEST
    assert set(mesh.answers) <= {(CLUSTER,), (LISTENER,), (ENDPOINTS, "remote")}
    assert mesh.removed == []
    assert mesh.relay.contents().roots == {CLUSTER: ("local",), LISTENER: ("in", "in2")}
    mesh.lose_upstream()
    mesh.lose_proxy()
    start(mesh)
    assert mesh.has[LISTENER, "in2"] == "l2"
    assert mesh.has[ENDPOINTS, "remote"] == "e2"


def test_a_proxy_keeps_what_is_newer_than_the_disk_with_the_control_plane_there(mesh: Mesh) -> None:
    survive_a_lost_write(mesh)
    mesh.open_upstream()
    bring_all_back(mesh)
    assert mesh.has == NEWEST
    assert mesh.up is not None
    assert mesh.up.in_sync


def test_what_a_proxy_has_and_the_control_plane_has_not_is_removed(mesh: Mesh) -> None:
    survive_a_lost_write(mesh)
    bring_all_back(mesh)
    mesh.control.root_names[LISTENER] = ("in",)
    del mesh.control.resources[LISTENER, "in2"]
    del mesh.control.resources[CLUSTER, "late"]
    mesh.open_upstream()
    assert (LISTENER, "in2") not in mesh.has
    assert (CLUSTER, "late") not in mesh.has


def test_nothing_that_the_control_plane_does_not_have_is_pending_for_ever(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.subscribe(CLUSTER, "unknown")
    assert mesh.removed == [(CLUSTER, "unknown")]
    assert mesh.relay.get(CLUSTER, "unknown") is ABSENT
    mesh.change(CLUSTER, "unknown", "u1")
    assert mesh.has[CLUSTER, "unknown"] == "u1"


def test_what_the_proxy_gives_up_is_given_up(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.unsubscribe(ENDPOINTS, "remote")
    assert mesh.up is not None
    assert mesh.up.subscriptions(ENDPOINTS) == frozenset()
    assert ENDPOINTS not in mesh.relay.contents().good


def test_what_a_gone_proxy_called_is_kept_up_to_date(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.lose_proxy()
    mesh.connect_proxy()
    mesh.subscribe(CLUSTER)
    mesh.change(ENDPOINTS, "remote", "e2")
    mesh.lose_upstream()
    mesh.subscribe(CLUSTER, "remote")
    mesh.subscribe(ENDPOINTS, "remote")
    assert mesh.has[ENDPOINTS, "remote"] == "e2"


def test_what_a_gone_proxy_wanted_in_vain_is_given_up(mesh: Mesh) -> None:
    mesh.open_upstream()
    start(mesh)
    mesh.subscribe(CLUSTER, "unknown")
    mesh.lose_proxy()
    assert mesh.up is not None
    assert mesh.up.subscriptions(CLUSTER) == {"*", "remote"}


def fallback(type_url: str, name: str) -> Resource | Absent | Pending:
    if type_url == VIRTUAL_HOST:
        return resource(type_url, name, b"unavailable")
    return ABSENT if type_url == CLUSTER else PENDING


def test_away_the_unknown_gets_its_fallback_and_then_the_real_thing() -> None:
    mesh = Mesh(fallback=fallback)
    mesh.control.put(VIRTUAL_HOST, "shop/catalog", "v1")
    mesh.control.put(CLUSTER, "catalog", "c1")
    mesh.connect_proxy()
    mesh.subscribe(VIRTUAL_HOST, "shop/catalog")
    mesh.subscribe(CLUSTER, "catalog")
    mesh.subscribe(ENDPOINTS, "catalog")
    assert mesh.has == {}
    mesh.carry_out(mesh.relay.set_away(True))
    assert mesh.has == {(VIRTUAL_HOST, "shop/catalog"): "unavailable"}
    assert mesh.removed == [(CLUSTER, "catalog")]
    assert mesh.relay.contents() == CacheContents()
    mesh.open_upstream()
    mesh.carry_out(mesh.relay.set_away(False))
    assert mesh.has[VIRTUAL_HOST, "shop/catalog"] == "v1"
    assert mesh.has[CLUSTER, "catalog"] == "c1"


def test_without_a_proxy_the_agent_itself_wants() -> None:
    mesh = Mesh()
    mesh.control.put(LISTENER, "n1", "view")
    mesh.carry_out(mesh.relay.want(LISTENER, ("n1",)))
    mesh.open_upstream()
    found = mesh.relay.get(LISTENER, "n1")
    assert isinstance(found, Resource)
    assert found.body == b"view"
    mesh.restarted_relay()
    assert mesh.relay.get(LISTENER, "n1") == found
