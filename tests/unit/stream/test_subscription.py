"""What a client asks for, and when it says so."""

from collections.abc import Mapping

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.subscription import Subscriptions
from tulle.xds.type_urls import CLUSTER, LISTENER


class Held:
    def __init__(self) -> None:
        self.versions: dict[str, dict[str, str]] = {}

    def __call__(self, type_url: str) -> Mapping[str, str]:
        return self.versions.get(type_url, {})


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def subscriptions(held: Held) -> Subscriptions:
    made = Subscriptions(base_pb2.Node(id="agent~a"), held)
    made.restart()
    return made


def drain(subscriptions: Subscriptions) -> list[discovery_pb2.DeltaDiscoveryRequest]:
    requests = []
    while (request := subscriptions.next_request()) is not None:
        requests.append(request)
    return requests


def test_only_the_first_request_of_a_stream_says_who_asks(subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(CLUSTER, ["a"])
    subscriptions.subscribe(LISTENER, ["*"])
    first, second = drain(subscriptions)
    assert first.node.id == "agent~a" and not second.HasField("node")
    subscriptions.restart()
    assert drain(subscriptions)[0].node.id == "agent~a"


def test_wishes_are_merged_until_they_are_sent(subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(CLUSTER, ["b"])
    subscriptions.subscribe(CLUSTER, ["a", "c"])
    subscriptions.unsubscribe(CLUSTER, ["c"])
    (request,) = drain(subscriptions)
    assert list(request.resource_names_subscribe) == ["a", "b"]
    assert not request.resource_names_unsubscribe


def test_a_name_that_the_server_knows_is_unsubscribed(subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(CLUSTER, ["a"])
    drain(subscriptions)
    subscriptions.unsubscribe(CLUSTER, ["a", "never"])
    (request,) = drain(subscriptions)
    assert list(request.resource_names_unsubscribe) == ["a"]
    assert subscriptions.wanted(CLUSTER) == frozenset()


def test_leaving_and_joining_asks_anew(subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(CLUSTER, ["a"])
    drain(subscriptions)
    subscriptions.unsubscribe(CLUSTER, ["a"])
    subscriptions.subscribe(CLUSTER, ["a"])
    (request,) = drain(subscriptions)
    assert list(request.resource_names_subscribe) == ["a"]
    assert not request.resource_names_unsubscribe


def test_a_reconnect_asks_for_everything_and_says_what_is_held(held: Held, subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(LISTENER, ["*"])
    subscriptions.subscribe(CLUSTER, ["a", "b"])
    drain(subscriptions)
    subscriptions.unsubscribe(CLUSTER, ["b"])
    held.versions = {CLUSTER: {"a": "1", "b": "1"}, LISTENER: {"root": "2"}}
    subscriptions.restart()
    cluster, listener = drain(subscriptions)
    assert list(cluster.resource_names_subscribe) == ["a"]
    assert not cluster.resource_names_unsubscribe
    assert dict(cluster.initial_resource_versions) == {"a": "1"}
    assert dict(listener.initial_resource_versions) == {"root": "2"}


def test_versions_are_said_once_a_stream(held: Held, subscriptions: Subscriptions) -> None:
    subscriptions.subscribe(CLUSTER, ["a"])
    drain(subscriptions)
    held.versions = {CLUSTER: {"a": "1"}}
    subscriptions.subscribe(CLUSTER, ["b"])
    (request,) = drain(subscriptions)
    assert not request.initial_resource_versions


def test_answers_are_not_carried_over_to_another_stream(subscriptions: Subscriptions) -> None:
    subscriptions.answer(CLUSTER, "n-1", None)
    subscriptions.answer(CLUSTER, "n-2", "bad")
    ack, nack = drain(subscriptions)
    assert ack.response_nonce == "n-1" and not ack.HasField("error_detail")
    assert nack.error_detail.message == "bad"
    subscriptions.answer(CLUSTER, "n-3", None)
    subscriptions.restart()
    assert drain(subscriptions) == []
