"""A scripted client drives a delta session through every rule of the protocol."""

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from tests.fakes.delta_client import DeltaScript, parse
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import (
    PENDING,
    Acked,
    Limits,
    Nacked,
    Oversized,
    ProtocolError,
    Subscribed,
    Unsubscribed,
)
from tulle.stream.session import DeltaSession
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, SECRET, VIRTUAL_HOST


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def client(source: FakeSource) -> DeltaScript:
    return DeltaScript(source)


class TestNonces:
    def test_every_response_has_a_fresh_nonce_of_its_stream(self, source: FakeSource) -> None:
        source.put(CLUSTER, "a")
        nonces = []
        for prefix in ("x-", "y-"):
            client = DeltaScript(source, prefix)
            client.request(CLUSTER, ["a"])
            client.ack(client.inbox[0])
            client.request(CLUSTER, ["a"])
            nonces += [received.nonce for received in client.inbox]
        assert len(set(nonces)) == 4

    def test_an_unknown_nonce_acknowledges_nothing(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        client.request(CLUSTER, ["a"])
        client.request(CLUSTER, nonce="of-another-stream")
        assert client.session.acknowledged(CLUSTER) == {}
        assert not client.session.in_sync

    def test_a_first_request_with_a_nonce_of_an_older_stream_is_answered(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(CLUSTER, "a")
        (received,) = client.request(CLUSTER, ["a"], nonce="old-7")
        assert received.names == ("a",)
        assert not [event for event in client.events if isinstance(event, Acked)]

    def test_a_subscription_with_a_stale_nonce_is_honoured(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(CLUSTER, "b")
        (first,) = client.request(CLUSTER, ["a"])
        client.ack(first)
        (received,) = client.request(CLUSTER, ["b"], nonce="stale")
        assert received.names == ("b",)


class TestAcks:
    def test_an_ack_concerns_its_type_only(self, source: FakeSource, client: DeltaScript) -> None:
        cluster = source.put(CLUSTER, "a")
        source.put(SECRET, "a")
        client.request(CLUSTER, ["a"])
        client.request(SECRET, ["a"])
        client.ack(client.inbox[0])
        assert client.session.acknowledged(CLUSTER) == {"a": cluster}
        assert client.session.acknowledged(SECRET) == {}

    def test_an_ack_is_not_answered(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        (received,) = client.request(CLUSTER, ["a"])
        assert client.ack(received) == []
        assert client.session.in_sync

    def test_an_ack_may_subscribe(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(CLUSTER, "b")
        (first,) = client.request(CLUSTER, ["a"])
        (second,) = client.ack(first, subscribe=["b"])
        assert second.names == ("b",)

    def test_a_spontaneous_request_leaves_the_response_in_flight(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(CLUSTER, "b")
        (first,) = client.request(CLUSTER, ["a"])
        assert client.request(CLUSTER, ["b"]) == []
        (second,) = client.ack(first)
        assert second.names == ("b",)

    def test_events_say_what_happened(self, source: FakeSource, client: DeltaScript) -> None:
        version = source.put(CLUSTER, "a")
        (first,) = client.request(CLUSTER, ["a", "gone"])
        client.ack(first)
        client.request(CLUSTER, unsubscribe=["a"])
        assert client.events == [
            Subscribed(CLUSTER, ("a", "gone")),
            Acked(CLUSTER, {"a": version, "gone": None}),
            Unsubscribed(CLUSTER, ("a",)),
        ]


class TestNacks:
    def test_a_refused_version_is_not_sent_again(self, source: FakeSource, client: DeltaScript) -> None:
        version = source.put(CLUSTER, "a")
        (received,) = client.request(CLUSTER, ["a"])
        assert client.nack(received, "no such filter") == []
        assert client.changed((CLUSTER, "a")) == []
        nacked = client.events[-1]
        assert nacked == Nacked(CLUSTER, {"a": version}, "no such filter")
        assert isinstance(nacked, Nacked) and nacked.culprit == "a"

    def test_many_refused_resources_make_one_line(self) -> None:
        few, many = (Nacked(CLUSTER, dict.fromkeys("abcdefg"[:count], "1"), "bad") for count in (5, 7))
        assert few.subject == "a, b, c, d, e"
        assert many.subject == "a, b, c, d, e and 2 others"

    def test_the_next_version_is_sent(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        (received,) = client.request(CLUSTER, ["a"])
        client.nack(received)
        version = source.put(CLUSTER, "a", "2")
        (received,) = client.changed((CLUSTER, "a"))
        assert received.versions == {"a": version}

    def test_going_back_to_the_version_before_is_sent(self, source: FakeSource, client: DeltaScript) -> None:
        """The client may have taken the refused response in part."""
        before = source.put(CLUSTER, "a")
        client.ack(client.request(CLUSTER, ["a"])[0])
        source.put(CLUSTER, "a", "2")
        client.nack(client.changed((CLUSTER, "a"))[0])
        source.put(CLUSTER, "a")
        (received,) = client.changed((CLUSTER, "a"))
        assert received.versions == {"a": before}

    def test_others_of_a_refused_response_get_through(self, source: FakeSource, client: DeltaScript) -> None:
        names = [f"c{n}" for n in range(9)]
        for name in names:
            source.put(CLUSTER, name)
        client.request(CLUSTER, names)
        responses = self._refuse_all_with(client, "c4", error="something is wrong")
        assert set(client.session.acknowledged(CLUSTER)) == set(names) - {"c4"}
        assert client.session.in_sync
        assert len(responses) < 9

    def test_what_the_error_names_is_tried_last_and_alone(self, source: FakeSource, client: DeltaScript) -> None:
        for name in ("good", "poor", "fine"):
            source.put(CLUSTER, name)
        (first,) = client.request(CLUSTER, ["good", "poor", "fine"])
        (second,) = client.nack(first, "cluster poor: bad TLS")
        assert set(second.names) == {"fine", "good"}
        (third,) = client.ack(second)
        assert third.names == ("poor",)
        assert client.nack(third) == []

    def test_removals_are_not_at_fault(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "bad")
        (first,) = client.request(CLUSTER, ["bad", "gone"])
        (second,) = client.nack(first)
        assert second.names == () and second.removed == ("gone",)
        assert client.ack(second) == []

    def test_a_refused_version_is_sent_to_who_asks_for_it_again(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        client.nack(client.request(CLUSTER, ["a"])[0])
        (received,) = client.request(CLUSTER, ["a"])
        assert received.names == ("a",)

    @staticmethod
    def _refuse_all_with(client: DeltaScript, bad: str, error: str) -> list[tuple[str, ...]]:
        seen = []
        while client.inbox:
            received = client.inbox.pop(0)
            seen.append(received.names)
            if bad in received.names:
                client.nack(received, error)
            else:
                client.ack(received)
        return seen


class TestSubscriptions:
    def test_a_name_that_the_client_has_is_sent_again_when_asked_for(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(CLUSTER, "a")
        client.ack(client.request(CLUSTER, ["a"])[0])
        (received,) = client.request(CLUSTER, ["a"])
        assert received.names == ("a",)

    def test_a_name_that_is_unknown_is_removed_at_once(self, client: DeltaScript) -> None:
        (received,) = client.request(CLUSTER, ["a"])
        assert received.removed == ("a",)

    def test_a_removal_is_said_once(self, client: DeltaScript) -> None:
        client.ack(client.request(CLUSTER, ["a"])[0])
        assert client.changed((CLUSTER, "a")) == []

    def test_a_name_that_appears_later_is_sent_without_asking(self, source: FakeSource, client: DeltaScript) -> None:
        client.ack(client.request(CLUSTER, ["a"])[0])
        source.put(CLUSTER, "a")
        (received,) = client.changed((CLUSTER, "a"))
        assert received.names == ("a",)

    def test_a_subscription_outlives_the_removal(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(VIRTUAL_HOST, "shop/a")
        client.ack(client.request(VIRTUAL_HOST, ["shop/a"])[0])
        source.remove(VIRTUAL_HOST, "shop/a")
        (removal,) = client.changed((VIRTUAL_HOST, "shop/a"))
        assert removal.removed == ("shop/a",)
        client.ack(removal)
        source.put(VIRTUAL_HOST, "shop/a")
        (received,) = client.changed((VIRTUAL_HOST, "shop/a"))
        assert received.names == ("shop/a",)

    def test_a_pending_name_is_answered_when_it_is_known(self, source: FakeSource, client: DeltaScript) -> None:
        source.pend(CLUSTER, "a")
        assert client.request(CLUSTER, ["a"]) == []
        assert client.changed((CLUSTER, "a")) == []
        source.put(CLUSTER, "a")
        (received,) = client.changed((CLUSTER, "a"))
        assert received.names == ("a",)

    def test_a_pending_name_that_turns_out_not_to_exist_is_removed(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.pend(CLUSTER, "a")
        client.request(CLUSTER, ["a"])
        source.remove(CLUSTER, "a")
        (received,) = client.changed((CLUSTER, "a"))
        assert received.removed == ("a",)

    def test_a_phantom_unsubscription_is_ignored(self, source: FakeSource, client: DeltaScript) -> None:
        client.ack(client.request(CLUSTER, ["a"])[0])
        assert client.request(CLUSTER, unsubscribe=["never"]) == []

    def test_what_is_unsubscribed_is_not_sent(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        client.ack(client.request(CLUSTER, ["a"])[0])
        client.request(CLUSTER, unsubscribe=["a"])
        source.put(CLUSTER, "a", "2")
        assert client.changed((CLUSTER, "a")) == []
        assert client.session.subscriptions(CLUSTER) == frozenset()

    def test_leaving_and_joining_in_one_request_asks_anew(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        client.ack(client.request(CLUSTER, ["a"])[0])
        (received,) = client.request(CLUSTER, ["a"], ["a"])
        assert received.names == ("a",)

    def test_a_name_asked_for_anew_while_in_flight_is_sent_again(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        (first,) = client.request(CLUSTER, ["a"])
        client.request(CLUSTER, unsubscribe=["a"])
        client.request(CLUSTER, ["a"])
        (second,) = client.ack(first)
        assert second.names == ("a",)


class TestWildcard:
    @pytest.mark.parametrize("names", [[], ["*"]])
    def test_no_names_at_first_and_a_star_mean_the_roots(self, names: list[str], source: FakeSource) -> None:
        source.put(LISTENER, "a")
        source.put(LISTENER, "not-a-root")
        source.root_names[LISTENER] = ("a",)
        client = DeltaScript(source)
        (received,) = client.request(LISTENER, names)
        assert received.names == ("a",)
        assert client.session.subscriptions(LISTENER) == {"*"}

    def test_who_asks_by_name_gets_exactly_that(self, source: FakeSource, client: DeltaScript) -> None:
        for name in ("a", "b"):
            source.put(LISTENER, name)
        source.root_names[LISTENER] = ("a", "b")
        (received,) = client.request(LISTENER, ["b"])
        assert received.names == ("b",)

    def test_no_names_later_are_not_the_wildcard(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(LISTENER, "a")
        source.put(LISTENER, "b")
        source.root_names[LISTENER] = ("a",)
        client.ack(client.request(LISTENER, ["b"])[0])
        assert client.request(LISTENER, unsubscribe=["b"]) == []
        assert client.request(LISTENER) == []

    def test_a_name_asked_for_beside_the_implied_wildcard_keeps_it(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.root_names[LISTENER] = ("a",)
        source.put(LISTENER, "a")
        client.ack(client.request(LISTENER)[0])
        client.ack(client.request(LISTENER, ["b"])[0])
        assert client.session.subscriptions(LISTENER) == {"*", "b"}

    def test_an_empty_wildcard_is_answered(self, client: DeltaScript) -> None:
        (received,) = client.request(LISTENER)
        assert received.names == () and received.removed == ()

    def test_pending_roots_hold_the_answer_back(self, source: FakeSource, client: DeltaScript) -> None:
        source.root_names[LISTENER] = PENDING
        assert client.request(LISTENER) == []
        source.root_names[LISTENER] = ("a",)
        source.pend(LISTENER, "a")
        assert client.roots_changed(LISTENER) == []
        source.put(LISTENER, "a")
        (received,) = client.changed((LISTENER, "a"))
        assert received.names == ("a",)

    def test_roots_that_turn_out_not_to_exist_end_the_wait(self, source: FakeSource, client: DeltaScript) -> None:
        source.root_names[LISTENER] = ("a",)
        source.pend(LISTENER, "a")
        assert client.request(LISTENER) == []
        source.remove(LISTENER, "a")
        (received,) = client.changed((LISTENER, "a"))
        assert received.names == () and received.removed == ()

    def test_new_roots_are_sent_and_old_ones_removed(self, source: FakeSource, client: DeltaScript) -> None:
        for name in ("a", "b", "c"):
            source.put(LISTENER, name)
        source.root_names[LISTENER] = ("a", "b")
        client.ack(client.request(LISTENER)[0])
        source.root_names[LISTENER] = ("b", "c")
        (received,) = client.roots_changed(LISTENER)
        assert received.names == ("c",) and received.removed == ("a",)

    def test_a_root_that_is_also_asked_for_by_name_is_sent_once(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(VIRTUAL_HOST, "shop/placeholder")
        source.put(VIRTUAL_HOST, "shop/a")
        source.root_names[VIRTUAL_HOST] = ("shop/placeholder",)
        (received,) = client.request(VIRTUAL_HOST, ["*", "shop/a", "shop/placeholder", "shop/a"])
        assert received.names == ("shop/a", "shop/placeholder")
        assert client.session.subscriptions(VIRTUAL_HOST) == {"*", "shop/a", "shop/placeholder"}

    def test_leaving_a_name_that_the_wildcard_covers_is_answered_with_it(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(LISTENER, "a")
        source.root_names[LISTENER] = ("a",)
        client.ack(client.request(LISTENER, ["*", "a"])[0])
        (received,) = client.request(LISTENER, unsubscribe=["a"])
        assert received.names == ("a",)

    def test_leaving_a_name_that_the_wildcard_does_not_cover_is_answered_with_its_removal(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(LISTENER, "b")
        client.ack(client.request(LISTENER, ["*", "b"])[0])
        (received,) = client.request(LISTENER, unsubscribe=["b"])
        assert received.removed == ("b",)

    def test_leaving_the_wildcard_keeps_names(self, source: FakeSource, client: DeltaScript) -> None:
        for name in ("a", "b"):
            source.put(LISTENER, name)
        source.root_names[LISTENER] = ("a",)
        client.ack(client.request(LISTENER, ["*", "b"])[0])
        assert client.request(LISTENER, unsubscribe=["*"]) == []
        assert set(client.session.acknowledged(LISTENER)) == {"b"}
        source.put(LISTENER, "a", "2")
        source.put(LISTENER, "b", "2")
        (received,) = client.changed((LISTENER, "a"), (LISTENER, "b"))
        assert received.names == ("b",)


class TestReconnect:
    def test_only_differences_are_sent(self, source: FakeSource, client: DeltaScript) -> None:
        same = source.put(CLUSTER, "same")
        source.put(CLUSTER, "other", "2")
        (received,) = client.request(CLUSTER, ["same", "other"], initial={"same": same, "other": "old"})
        assert received.names == ("other",)
        assert client.session.acknowledged(CLUSTER)["same"] == same

    def test_nothing_is_sent_where_nothing_differs(self, source: FakeSource, client: DeltaScript) -> None:
        version = source.put(CLUSTER, "a")
        assert client.request(CLUSTER, ["a"], initial={"a": version}) == []
        assert client.session.in_sync

    def test_what_was_removed_meanwhile_is_removed(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "root")
        source.root_names[CLUSTER] = ("root",)
        (upserts, *removals) = client.request(CLUSTER, ["*", "named"], initial={"was-root": "1", "named": "1"})
        removals += client.ack(upserts)
        assert upserts.names == ("root",)
        assert [received.removed for received in removals] == [("named", "was-root")]

    def test_on_demand_names_stay_subscribed_beside_the_wildcard(self, source: FakeSource, client: DeltaScript) -> None:
        version = source.put(CLUSTER, "on-demand")
        client.request(CLUSTER, ["*", "on-demand"], initial={"on-demand": version})
        client.ack_all()
        source.put(CLUSTER, "on-demand", "2")
        (received,) = client.changed((CLUSTER, "on-demand"))
        assert received.names == ("on-demand",)


class TestOrder:
    def test_newer_state_supersedes_what_waits(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        (first,) = client.request(CLUSTER, ["a"])
        for content in ("2", "3", "4"):
            latest = source.put(CLUSTER, "a", content)
            assert client.changed((CLUSTER, "a")) == []
        (second,) = client.ack(first)
        assert second.versions == {"a": latest}
        assert client.ack(second) == []

    def test_a_response_does_not_depend_on_the_order_of_requests(self, source: FakeSource) -> None:
        for name in ("a", "b", "c"):
            source.put(CLUSTER, name)
        sent = set()
        for names in (["a", "b", "c"], ["c", "a", "b"]):
            session = DeltaSession(source, "n")
            session.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, resource_names_subscribe=names))
            sent.add(session.next_response())
        assert len(sent) == 1

    def test_routes_wait_for_the_clusters_ack(self, source: FakeSource, client: DeltaScript) -> None:
        for type_url in (VIRTUAL_HOST, ROUTE_CONFIG, LISTENER, ENDPOINTS, CLUSTER):
            source.put(type_url, "a")
            client.ack_all()
            client.request(type_url, ["a"])
        client.ack_all()
        for type_url in (VIRTUAL_HOST, ROUTE_CONFIG, LISTENER, CLUSTER):
            source.put(type_url, "a", "2")
        changes = [(type_url, "a") for type_url in (VIRTUAL_HOST, ROUTE_CONFIG, LISTENER, CLUSTER)]
        sent = client.changed(*changes)
        # A proxy acknowledges a cluster once it is warm, so endpoints must not wait for that.
        assert [received.type_url for received in sent] == [CLUSTER, ENDPOINTS]
        sent = client.ack(sent[0])
        assert [received.type_url for received in sent] == [LISTENER, ROUTE_CONFIG, VIRTUAL_HOST]

    def test_a_refused_cluster_does_not_hold_routes_for_ever(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(VIRTUAL_HOST, "v")
        (cluster,) = client.request(CLUSTER, ["a"])
        assert client.request(VIRTUAL_HOST, ["v"]) == []
        (route,) = client.nack(cluster)
        assert route.names == ("v",)

    def test_a_pending_cluster_does_not_hold_routes(self, source: FakeSource, client: DeltaScript) -> None:
        source.pend(CLUSTER, "a")
        source.put(VIRTUAL_HOST, "v")
        client.request(CLUSTER, ["a"])
        (route,) = client.request(VIRTUAL_HOST, ["v"])
        assert route.names == ("v",)

    def test_a_cluster_is_removed_after_the_routes_are_acknowledged(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(CLUSTER, "old")
        source.put(VIRTUAL_HOST, "v")
        client.request(CLUSTER, ["old", "new"])
        client.request(VIRTUAL_HOST, ["v"])
        client.ack_all()
        source.put(CLUSTER, "new")
        source.put(VIRTUAL_HOST, "v", "to new")
        source.remove(CLUSTER, "old")
        (made,) = client.changed((CLUSTER, "old"), (CLUSTER, "new"), (VIRTUAL_HOST, "v"))
        assert made.names == ("new",) and made.removed == ()
        (routed,) = client.ack(made)
        assert routed.type_url == VIRTUAL_HOST
        (broken,) = client.ack(routed)
        assert broken.type_url == CLUSTER and broken.removed == ("old",)

    def test_a_cluster_stays_while_a_refused_route_may_use_it(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "old")
        source.put(VIRTUAL_HOST, "v")
        client.request(CLUSTER, ["old"])
        client.request(VIRTUAL_HOST, ["v"])
        client.ack_all()
        source.put(VIRTUAL_HOST, "v", "bad")
        source.remove(CLUSTER, "old")
        (routed,) = client.changed((CLUSTER, "old"), (VIRTUAL_HOST, "v"))
        assert client.nack(routed) == []
        source.put(VIRTUAL_HOST, "v", "good")
        (routed,) = client.changed((VIRTUAL_HOST, "v"))
        (broken,) = client.ack(routed)
        assert broken.removed == ("old",)

    def test_a_cluster_that_comes_back_before_its_removal_stays(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(VIRTUAL_HOST, "v")
        client.request(CLUSTER, ["a"])
        client.request(VIRTUAL_HOST, ["v"])
        client.ack_all()
        source.put(VIRTUAL_HOST, "v", "2")
        source.remove(CLUSTER, "a")
        (routed,) = client.changed((CLUSTER, "a"), (VIRTUAL_HOST, "v"))
        source.put(CLUSTER, "a")
        assert client.changed((CLUSTER, "a")) == []
        assert client.ack(routed) == []
        assert client.session.in_sync

    def test_a_domain_moves_between_virtual_hosts_in_one_response(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(VIRTUAL_HOST, "v")
        client.ack(client.request(VIRTUAL_HOST, ["v", "w"])[0])
        source.remove(VIRTUAL_HOST, "v")
        source.put(VIRTUAL_HOST, "w")
        (received,) = client.changed((VIRTUAL_HOST, "v"), (VIRTUAL_HOST, "w"))
        assert received.names == ("w",) and received.removed == ("v",)


class TestWarming:
    def test_endpoints_follow_their_cluster_even_if_unchanged(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        version = source.put(ENDPOINTS, "a")
        source.put(ENDPOINTS, "b")
        client.request(CLUSTER, ["a"])
        client.request(ENDPOINTS, ["a", "b"])
        client.ack_all()
        source.put(CLUSTER, "a", "2")
        cluster, endpoints = client.changed((CLUSTER, "a"))
        assert cluster.type_url == CLUSTER
        assert endpoints.type_url == ENDPOINTS and endpoints.versions == {"a": version}

    def test_endpoints_nobody_asked_for_do_not_follow(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(CLUSTER, "a")
        source.put(ENDPOINTS, "a")
        client.request(ENDPOINTS, ["b"])
        client.ack_all()
        (received,) = client.request(CLUSTER, ["a"])
        assert received.type_url == CLUSTER

    def test_routes_follow_a_listener_even_if_unchanged(self, source: FakeSource, client: DeltaScript) -> None:
        source.put(LISTENER, "l")
        source.put(ROUTE_CONFIG, "shop")
        client.request(LISTENER, ["l"])
        client.request(ROUTE_CONFIG, ["shop"])
        client.ack_all()
        source.put(LISTENER, "l", "2")
        listener, routes = client.changed((LISTENER, "l"))
        assert (listener.type_url, routes.type_url) == (LISTENER, ROUTE_CONFIG)

    def test_endpoints_that_a_reconnecting_client_has_follow_a_changed_cluster(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(CLUSTER, "a", "2")
        version = source.put(ENDPOINTS, "a")
        client.request(CLUSTER, ["a"], initial={"a": "1"})
        (endpoints,) = client.request(ENDPOINTS, ["a"], initial={"a": version})
        assert endpoints.names == ("a",)

    def test_routes_that_a_reconnecting_client_has_follow_a_changed_listener(
        self, source: FakeSource, client: DeltaScript
    ) -> None:
        source.put(LISTENER, "l", "2")
        version = source.put(ROUTE_CONFIG, "shop")
        client.request(LISTENER, ["l"], initial={"l": "1"})
        (routes,) = client.request(ROUTE_CONFIG, ["shop"], initial={"shop": version})
        assert routes.names == ("shop",)


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            (Limits(name_length=50), "longer than 50"),
            (Limits(name_bytes=512), "names of one stream"),
        ],
    )
    def test_too_much_is_a_protocol_error(self, source: FakeSource, limits: Limits, message: str) -> None:
        client = DeltaScript(source, limits=limits)
        with pytest.raises(ProtocolError, match=message):
            client.request(CLUSTER, ["a", "b" * 51])

    def test_who_may_want_so_much_may_say_it_at_once_after_a_reconnect(self, source: FakeSource) -> None:
        names = [f"c{number}" for number in range(Limits().subscriptions)]
        client = DeltaScript(source)
        client.request(CLUSTER, names, initial=dict.fromkeys(names, "1"))
        assert client.session.subscriptions(CLUSTER) == set(names)

    @pytest.mark.parametrize("kind", ["subscribe", "unsubscribe", "initial"])
    def test_a_request_has_no_more_names_than_may_be_wanted(self, source: FakeSource, kind: str) -> None:
        client = DeltaScript(source, limits=Limits(subscriptions=1))
        client.request(CLUSTER, ["a"])
        names = dict.fromkeys(("b", "c"), "1")
        with pytest.raises(ProtocolError, match="more than 1 names in a list"):
            client.request(LISTENER, **{kind: names})

    def test_subscriptions_of_one_type_count_over_all_requests(self, source: FakeSource) -> None:
        client = DeltaScript(source, limits=Limits(subscriptions=2))
        client.request(CLUSTER, ["a", "b"])
        client.request(ENDPOINTS, ["a", "b"])
        client.request(CLUSTER, ["c"], ["a"])
        with pytest.raises(ProtocolError, match="more than 2 subscriptions"):
            client.request(CLUSTER, ["d"])

    def test_names_of_all_types_count_together(self, source: FakeSource) -> None:
        client = DeltaScript(source, limits=Limits(name_bytes=1_000))
        for _ in range(10):
            client.request(CLUSTER, ["a" * 300])
            client.request(CLUSTER, unsubscribe=["a" * 300])
        client.request(CLUSTER, ["a" * 300])
        with pytest.raises(ProtocolError, match="names of one stream"):
            client.request(ENDPOINTS, ["b" * 300])

    def test_what_a_client_brings_counts_too(self, source: FakeSource) -> None:
        client = DeltaScript(source, limits=Limits(name_bytes=1_000))
        with pytest.raises(ProtocolError, match="names of one stream"):
            client.request(CLUSTER, ["a"], initial={"a": "v" * 1_000})

    def test_a_refusal_is_read_up_to_a_length(self, source: FakeSource) -> None:
        """Every name of a response is looked for in it: a long one would hold up everybody else."""
        version = source.put(CLUSTER, "a")
        client = DeltaScript(source, limits=Limits(message_length=10))
        (received,) = client.request(CLUSTER, ["a"])
        client.nack(received, "x" * 1_000)
        assert client.events[-1] == Nacked(CLUSTER, {"a": version}, "x" * 10)

    @pytest.mark.parametrize("type_url", [VIRTUAL_HOST, ENDPOINTS])
    def test_many_absent_resources_are_said_in_parts(self, source: FakeSource, type_url: str) -> None:
        names = [f"{n:0100d}" for n in range(30)]
        client = DeltaScript(source, limits=Limits(response_bytes=1_000))
        client.request(type_url, names)
        parts = client.ack_all()
        assert len(parts) > 1
        assert sorted(name for part in parts for name in part.removed) == names

    def test_many_deferred_removals_are_said_in_parts(self, source: FakeSource) -> None:
        names = [f"{n:0100d}" for n in range(30)]
        for name in names:
            source.put(CLUSTER, name)
        client = DeltaScript(source, limits=Limits(response_bytes=1_000))
        client.request(CLUSTER, names)
        client.ack_all()
        for name in names:
            source.remove(CLUSTER, name)
        client.changed(*((CLUSTER, name) for name in names))
        parts = [part for part in client.ack_all() if part.removed]
        assert len(parts) > 1
        assert sorted(name for part in parts for name in part.removed) == names

    def test_too_many_types_are_a_protocol_error(self, source: FakeSource) -> None:
        client = DeltaScript(source, limits=Limits(types=1))
        client.request(CLUSTER, ["a"])
        with pytest.raises(ProtocolError, match="types"):
            client.request(LISTENER, ["a"])

    def test_a_request_without_a_type_is_a_protocol_error(self, client: DeltaScript) -> None:
        with pytest.raises(ProtocolError, match="type_url"):
            client.request("", ["a"])

    def test_an_empty_name_is_a_protocol_error(self, client: DeltaScript) -> None:
        with pytest.raises(ProtocolError, match="empty"):
            client.request(CLUSTER, [""])

    def test_a_large_answer_comes_in_parts(self, source: FakeSource) -> None:
        names = [f"c{n}" for n in range(10)]
        for name in names:
            source.put(CLUSTER, name, name * 100)
        client = DeltaScript(source, limits=Limits(response_bytes=1_000))
        client.request(CLUSTER, names)
        parts = client.ack_all()
        assert len(parts) > 1
        assert sorted(name for part in parts for name in part.names) == names

    def test_a_resource_that_fits_no_response_is_reported_and_the_others_are_sent(self, source: FakeSource) -> None:
        version = source.put(CLUSTER, "huge", "x" * 2_000)
        source.put(CLUSTER, "small")
        client = DeltaScript(source, limits=Limits(response_bytes=1_000))
        (received,) = client.request(CLUSTER, ["huge", "small"])
        assert received.names == ("small",)
        (report,) = client.session.take_oversized()
        assert isinstance(report, Oversized) and (report.name, report.version) == ("huge", version)
        assert client.session.take_oversized() == ()


def test_types_that_nobody_serves_answer_that_nothing_exists(client: DeltaScript) -> None:
    (received,) = client.request("type.example/Unknown", ["a"])
    assert received.removed == ("a",)


def test_a_resource_with_two_names_is_sent_once(source: FakeSource, client: DeltaScript) -> None:
    source.put(VIRTUAL_HOST, "v")
    source.resources[VIRTUAL_HOST, "alias"] = source.resources[VIRTUAL_HOST, "v"]
    (received,) = client.request(VIRTUAL_HOST, ["v", "alias"])
    assert received.names == ("v",)
    client.ack(received)
    assert client.session.in_sync


def test_what_is_pulled_is_a_delta_discovery_response(source: FakeSource, client: DeltaScript) -> None:
    source.put(CLUSTER, "a", "x" * 300)
    client.session.receive(
        discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, resource_names_subscribe=["a", "gone"])
    )
    data = client.session.next_response()
    assert data is not None
    response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
    assert response.resources[0].resource.value == b"x" * 300
    assert parse(data).removed == ("gone",)
