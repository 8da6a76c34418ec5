"""A scripted client drives a state-of-the-world session through every rule of the protocol."""

from collections.abc import Iterable

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import Acked, Event, Limits, Nacked, ProtocolError, Subscribed, Unsubscribed
from tulle.stream.sotw import SotwSession
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, SECRET


class Received(Struct, frozen=True):
    type_url: str
    nonce: str
    version: str
    bodies: tuple[bytes, ...]


class SotwScript:
    """One stream to a SotwSession. Fake resources have their content as body."""

    def __init__(self, source: FakeSource, limits: Limits | None = None) -> None:
        self.session = SotwSession(source, "s", limits)
        self.events: list[Event] = []
        self.names: dict[str, tuple[str, ...]] = {}

    def request(
        self, type_url: str, names: Iterable[str] = (), *, nonce: str = "", error: str | None = None, version: str = ""
    ) -> list[Received]:
        self.names[type_url] = tuple(names)
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url, resource_names=self.names[type_url], response_nonce=nonce, version_info=version
        )
        if error is not None:
            request.error_detail.message = error
        self.events += self.session.receive(request)
        return self.pull()

    def ack(self, received: Received, names: Iterable[str] | None = None) -> list[Received]:
        wanted = self.names[received.type_url] if names is None else names
        return self.request(received.type_url, wanted, nonce=received.nonce, version=received.version)

    def nack(self, received: Received, error: str = "bad") -> list[Received]:
        return self.request(received.type_url, self.names[received.type_url], nonce=received.nonce, error=error)

    def changed(self, *names: tuple[str, str]) -> list[Received]:
        self.session.changed(names)
        return self.pull()

    def pull(self) -> list[Received]:
        pulled = []
        while (data := self.session.next_response()) is not None:
            response = discovery_pb2.DiscoveryResponse.FromString(data)
            bodies = tuple(resource.value for resource in response.resources)
            assert all(resource.type_url == response.type_url for resource in response.resources)
            pulled.append(Received(response.type_url, response.nonce, response.version_info, bodies))
        return pulled


@pytest.fixture
def source() -> FakeSource:
    source = FakeSource()
    for type_url in (CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, SECRET):
        for name in ("a", "b", "c"):
            source.put(type_url, name, f"{name}1")
    return source


@pytest.fixture
def client(source: FakeSource) -> SotwScript:
    return SotwScript(source)


class TestNonces:
    def test_a_first_request_with_the_nonce_of_an_older_stream_is_answered(self, client: SotwScript) -> None:
        (received,) = client.request(CLUSTER, ["a"], nonce="old-7", version="old")
        assert received.bodies == (b"a1",)
        assert client.events == [Subscribed(CLUSTER, ("a",))]

    def test_a_stale_request_is_ignored_and_its_subscription_not_lost(
        self, source: FakeSource, client: SotwScript
    ) -> None:
        (first,) = client.request(ENDPOINTS, ["a"])
        client.ack(first)
        source.put(ENDPOINTS, "a", "a2")
        (second,) = client.changed((ENDPOINTS, "a"))
        assert client.request(ENDPOINTS, ["a", "b"], nonce=first.nonce) == []
        (third,) = client.ack(second, ["a", "b"])
        assert third.bodies == (b"b1",)

    def test_two_requests_before_the_first_response(self, client: SotwScript) -> None:
        (first,) = client.request(ENDPOINTS, ["a"])
        assert client.request(ENDPOINTS, ["a", "b"]) == []
        (second,) = client.ack(first, ["a", "b"])
        assert second.bodies == (b"b1",)

    def test_every_response_has_a_fresh_nonce(self, client: SotwScript) -> None:
        (first,) = client.request(ENDPOINTS, ["a"])
        (second,) = client.ack(first, ["a", "b"])
        (third,) = client.request(SECRET, ["a"])
        assert len({first.nonce, second.nonce, third.nonce}) == 3


class TestAcks:
    def test_an_ack_concerns_its_type_only_and_is_not_answered(self, client: SotwScript) -> None:
        (cluster,) = client.request(CLUSTER, ["a"])
        client.request(SECRET, ["a"])
        assert client.ack(cluster) == []
        assert set(client.session.acknowledged(CLUSTER)) == {"a"}
        assert client.session.acknowledged(SECRET) == {}

    def test_the_same_state_has_the_same_version_on_every_stream(self, source: FakeSource) -> None:
        versions = set()
        for _ in range(2):
            (received,) = SotwScript(source).request(CLUSTER, ["b", "a"])
            versions.add(received.version)
        assert len(versions) == 1

    def test_events_say_what_happened(self, client: SotwScript) -> None:
        (received,) = client.request(ENDPOINTS, ["a", "b"])
        client.ack(received, ["a"])
        subscribed, acked, unsubscribed = client.events
        assert subscribed == Subscribed(ENDPOINTS, ("a", "b"))
        assert isinstance(acked, Acked) and set(acked.versions) == {"a", "b"}
        assert unsubscribed == Unsubscribed(ENDPOINTS, ("b",))


class TestWholeSets:
    def test_every_response_has_everything(self, source: FakeSource, client: SotwScript) -> None:
        source.root_names[LISTENER] = ("a", "b")
        (first,) = client.request(LISTENER)
        client.ack(first)
        source.put(LISTENER, "b", "b2")
        (second,) = client.changed((LISTENER, "b"))
        assert second.bodies == (b"a1", b"b2")

    def test_what_is_gone_is_left_out(self, source: FakeSource, client: SotwScript) -> None:
        client.ack(client.request(LISTENER, ["a", "b"])[0])
        source.remove(LISTENER, "a")
        (received,) = client.changed((LISTENER, "a"))
        assert received.bodies == (b"b1",)

    def test_who_asks_by_name_gets_exactly_that(self, source: FakeSource, client: SotwScript) -> None:
        source.root_names[LISTENER] = ("a", "b")
        (received,) = client.request(LISTENER, ["c"])
        assert received.bodies == (b"c1",)

    def test_a_name_asked_for_later_comes_with_the_others(self, client: SotwScript) -> None:
        (first,) = client.request(LISTENER, ["a"])
        (second,) = client.ack(first, ["a", "b"])
        assert second.bodies == (b"a1", b"b1")

    def test_a_name_no_longer_asked_for_is_left_out(self, source: FakeSource, client: SotwScript) -> None:
        (first,) = client.request(LISTENER, ["a", "b"])
        client.ack(first, ["a"])
        source.put(LISTENER, "a", "a2")
        (second,) = client.changed((LISTENER, "a"))
        assert second.bodies == (b"a2",)

    def test_an_empty_list_after_names_is_not_the_wildcard(self, source: FakeSource, client: SotwScript) -> None:
        source.root_names[LISTENER] = ("b",)
        (first,) = client.request(LISTENER, ["a"])
        assert client.ack(first, []) == []
        assert client.session.subscriptions(LISTENER) == frozenset()

    def test_an_unknown_name_is_answered_at_once(self, client: SotwScript) -> None:
        (received,) = client.request(LISTENER, ["nobody"])
        assert received.bodies == ()

    def test_a_pending_name_holds_the_set_back(self, source: FakeSource, client: SotwScript) -> None:
        """A set without it would say that it does not exist."""
        source.pend(LISTENER, "b")
        assert client.request(LISTENER, ["a", "b"]) == []
        source.put(LISTENER, "b", "b1")
        (received,) = client.changed((LISTENER, "b"))
        assert received.bodies == (b"a1", b"b1")

    def test_a_refused_resource_keeps_its_last_good_version_and_holds_no_other_back(
        self, source: FakeSource, client: SotwScript
    ) -> None:
        client.ack(client.request(LISTENER, ["a", "b"])[0])
        source.put(LISTENER, "a", "bad")
        source.put(LISTENER, "b", "b2")
        (refused,) = client.changed((LISTENER, "a"), (LISTENER, "b"))
        responses = [refused]
        while responses:
            received = responses.pop()
            if b"bad" in received.bodies:
                responses += client.nack(received, "no")
            else:
                last = received
                responses += client.ack(received)
        assert last.bodies == (b"a1", b"b2")
        assert any(isinstance(event, Nacked) and event.culprit == "a" for event in client.events)

    def test_it_is_never_cut_in_parts(self, source: FakeSource) -> None:
        for name in ("a", "b", "c"):
            source.put(CLUSTER, name, name * 500)
        client = SotwScript(source, Limits(response_bytes=1_000))
        (received,) = client.request(CLUSTER, ["a", "b", "c"])
        assert len(received.bodies) == 3


class TestSubsets:
    def test_only_what_changed_is_sent(self, source: FakeSource, client: SotwScript) -> None:
        client.ack(client.request(ENDPOINTS, ["a", "b"])[0])
        source.put(ENDPOINTS, "b", "b2")
        (received,) = client.changed((ENDPOINTS, "b"))
        assert received.bodies == (b"b2",)

    def test_a_name_asked_for_again_is_sent_again(self, client: SotwScript) -> None:
        (first,) = client.request(ENDPOINTS, ["a", "b"])
        client.ack(first, ["a"])
        (second,) = client.request(ENDPOINTS, ["a", "b"], nonce=first.nonce)
        assert second.bodies == (b"b1",)

    def test_a_removal_says_nothing(self, source: FakeSource, client: SotwScript) -> None:
        client.ack(client.request(ENDPOINTS, ["a", "b"])[0])
        source.remove(ENDPOINTS, "a")
        assert client.changed((ENDPOINTS, "a")) == []
        assert client.session.in_sync

    def test_a_name_that_comes_back_is_sent(self, source: FakeSource, client: SotwScript) -> None:
        client.ack(client.request(ENDPOINTS, ["a", "b"])[0])
        source.remove(ENDPOINTS, "a")
        client.changed((ENDPOINTS, "a"))
        source.put(ENDPOINTS, "a", "a1")
        (received,) = client.changed((ENDPOINTS, "a"))
        assert received.bodies == (b"a1",)

    def test_a_first_request_is_answered_even_with_nothing(self, client: SotwScript) -> None:
        (received,) = client.request(ENDPOINTS, ["nobody"])
        assert received.bodies == ()

    def test_a_refused_version_is_not_sent_again(self, source: FakeSource, client: SotwScript) -> None:
        (received,) = client.request(SECRET, ["a"])
        assert client.nack(received) == []
        assert client.changed((SECRET, "a")) == []
        source.put(SECRET, "a", "a2")
        (received,) = client.changed((SECRET, "a"))
        assert received.bodies == (b"a2",)


class TestOrder:
    def test_clusters_then_endpoints_then_listeners_and_routes(self, source: FakeSource, client: SotwScript) -> None:
        for type_url in (ROUTE_CONFIG, LISTENER, ENDPOINTS, CLUSTER):
            for received in client.request(type_url, ["a"]):
                client.ack(received)
        changes = [(type_url, "a") for type_url in (ROUTE_CONFIG, LISTENER, CLUSTER)]
        for type_url, name in changes:
            source.put(type_url, name, "a2")
        sent = client.changed(*changes)
        assert [received.type_url for received in sent] == [CLUSTER, ENDPOINTS]
        assert [received.type_url for received in client.ack(sent[0])] == [LISTENER, ROUTE_CONFIG]

    def test_a_removed_cluster_stays_in_the_set_until_the_routes_are_acknowledged(
        self, source: FakeSource, client: SotwScript
    ) -> None:
        source.remove(CLUSTER, "b")
        client.ack(client.request(CLUSTER, ["a", "b"])[0])
        client.ack(client.request(ROUTE_CONFIG, ["a"])[0])
        source.remove(CLUSTER, "a")
        source.put(CLUSTER, "b", "b1")
        source.put(ROUTE_CONFIG, "a", "to b")
        (made,) = client.changed((CLUSTER, "a"), (CLUSTER, "b"), (ROUTE_CONFIG, "a"))
        assert made.bodies == (b"a1", b"b1")
        (routed,) = client.ack(made)
        assert routed.type_url == ROUTE_CONFIG
        (broken,) = client.ack(routed)
        assert broken.bodies == (b"b1",)


def test_protocol_errors(client: SotwScript, source: FakeSource) -> None:
    with pytest.raises(ProtocolError, match="type_url"):
        client.request("", ["a"])
    with pytest.raises(ProtocolError, match="empty"):
        client.request(CLUSTER, [""])
    with pytest.raises(ProtocolError, match="names in a list"):
        SotwScript(source, Limits(subscriptions=1)).request(CLUSTER, ["a", "b"])
