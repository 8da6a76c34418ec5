"""A scripted delta xDS client: says what it is told to, and reads what it is sent as a strict client would."""

from collections.abc import Iterable, Mapping

from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import Event, Limits
from tulle.stream.session import DeltaSession


class Received(Struct, frozen=True):
    type_url: str
    nonce: str
    versions: dict[str, str]
    removed: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.versions)


def parse(data: bytes) -> Received:
    response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
    names = [resource.name for resource in response.resources] + list(response.removed_resources)
    assert len(names) == len(set(names)), f"duplicates: {names}"
    for resource in response.resources:
        assert resource.resource.type_url == response.type_url
    versions = {resource.name: resource.version for resource in response.resources}
    return Received(response.type_url, response.nonce, versions, tuple(response.removed_resources))


class DeltaScript:
    """One stream to a DeltaSession. Responses that were pulled and not yet looked at are in `inbox`."""

    def __init__(self, source: FakeSource, prefix: str = "s", limits: Limits | None = None) -> None:
        self.source = source
        self.session = DeltaSession(source, prefix, limits)
        self.inbox: list[Received] = []
        self.events: list[Event] = []

    def request(
        self,
        type_url: str,
        subscribe: Iterable[str] = (),
        unsubscribe: Iterable[str] = (),
        *,
        nonce: str = "",
        error: str | None = None,
        initial: Mapping[str, str] | None = None,
    ) -> list[Received]:
        """Sends one request and returns what it is answered with at once."""
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=subscribe,
            resource_names_unsubscribe=unsubscribe,
            response_nonce=nonce,
            initial_resource_versions=initial or {},
        )
        if error is not None:
            request.error_detail.message = error
        self.events += self.session.receive(request)
        return self.pull()

    def ack(self, received: Received, subscribe: Iterable[str] = ()) -> list[Received]:
        return self.request(received.type_url, subscribe, nonce=received.nonce)

    def nack(self, received: Received, error: str = "bad") -> list[Received]:
        return self.request(received.type_url, nonce=received.nonce, error=error)

    def ack_all(self) -> list[Received]:
        """Acknowledges everything that comes until nothing more does; returns it in order."""
        seen = []
        while self.inbox:
            received = self.inbox.pop(0)
            seen.append(received)
            self.ack(received)
        return seen

    def changed(self, *names: tuple[str, str]) -> list[Received]:
        self.session.changed(names)
        return self.pull()

    def roots_changed(self, type_url: str) -> list[Received]:
        self.session.roots_changed(type_url)
        return self.pull()

    def pull(self) -> list[Received]:
        pulled = []
        while (data := self.session.next_response()) is not None:
            pulled.append(parse(data))
        self.inbox += pulled
        return pulled
