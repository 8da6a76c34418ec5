"""Whatever happens in whatever order, a delta client ends up with exactly what it asked for."""

from collections import deque

from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.fakes.delta_client import Received, parse
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import PENDING
from tulle.stream.session import DeltaSession
from tulle.xds.resource import Resource
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, VIRTUAL_HOST

TYPES = (CLUSTER, ENDPOINTS, LISTENER, VIRTUAL_HOST)
NAMES = ("a", "b", "c", "d")

types = st.sampled_from(TYPES)
names = st.sampled_from(NAMES)


class TypeAtClient:
    """One type at a client like Envoy: a response with something bad in it is refused, and perhaps taken in part."""

    def __init__(self) -> None:
        self.explicit: set[str] = set()
        self.wildcard = False
        self.started = False
        self.holds: dict[str, str] = {}
        self.reported: dict[str, str] = {}

    def forget(self, name: str) -> None:
        self.holds.pop(name, None)
        self.reported.pop(name, None)

    def accepts(self, name: str) -> bool:
        return self.wildcard or name in self.explicit


class DeltaConvergence(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.source = FakeSource()
        self.client = {type_url: TypeAtClient() for type_url in TYPES}
        self.bad: set[str] = set()
        self.contents = 0
        self.streams = 0
        self._connect()

    def _connect(self) -> None:
        self.streams += 1
        self.session = DeltaSession(self.source, f"{self.streams}-")
        self.requests: deque[discovery_pb2.DeltaDiscoveryRequest] = deque()
        self.responses: deque[Received] = deque()
        self.unanswered: dict[str, str] = {}
        self.refused: set[tuple[str, str, str]] = set()

    # The client

    @rule(type_url=types, name=names)
    def subscribe(self, type_url: str, name: str) -> None:
        self._subscribe(type_url, name)

    @rule(type_url=types)
    def subscribe_to_the_wildcard(self, type_url: str) -> None:
        self._subscribe(type_url, "*")

    def _subscribe(self, type_url: str, name: str) -> None:
        state = self.client[type_url]
        state.started = True
        if name == "*":
            state.wildcard = True
        else:
            state.explicit.add(name)
        self._request(type_url, subscribe=[name])

    @rule(type_url=types, name=names)
    def unsubscribe(self, type_url: str, name: str) -> None:
        state = self.client[type_url]
        if name not in state.explicit:
            return
        state.explicit.discard(name)
        if not state.wildcard:
            state.forget(name)
        self._request(type_url, unsubscribe=[name])

    @rule(type_url=types)
    def unsubscribe_from_the_wildcard(self, type_url: str) -> None:
        state = self.client[type_url]
        if not state.wildcard:
            return
        state.wildcard = False
        for name in set(NAMES) - state.explicit:
            state.forget(name)
        self._request(type_url, unsubscribe=["*"])

    def _request(self, type_url: str, **fields: list[str]) -> None:
        self.requests.append(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_url,
                resource_names_subscribe=fields.get("subscribe", ()),
                resource_names_unsubscribe=fields.get("unsubscribe", ()),
            )
        )

    @rule(in_part=st.booleans(), named=st.booleans())
    def answer(self, in_part: bool, named: bool) -> None:
        """The client reads the next response."""
        if not self.responses:
            return
        received = self.responses.popleft()
        state = self.client[received.type_url]
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=received.type_url, response_nonce=received.nonce)
        wanted = {name: version for name, version in received.versions.items() if state.accepts(name)}
        wrong = {name for name, version in wanted.items() if version in self.bad}
        if wrong:
            request.error_detail.message = f"cannot take {', '.join(wrong)}" if named else "no"
        for name, version in wanted.items():
            if name not in wrong and (in_part or not wrong):
                state.holds[name] = version
        if not wrong:
            state.reported.update(wanted)
            for name in received.removed:
                state.forget(name)
        self.requests.append(request)

    @rule()
    def reconnect(self) -> None:
        self._connect()
        for type_url, state in self.client.items():
            if state.started and (state.wildcard or state.explicit):
                self.requests.append(
                    discovery_pb2.DeltaDiscoveryRequest(
                        type_url=type_url,
                        resource_names_subscribe=[*(["*"] if state.wildcard else []), *sorted(state.explicit)],
                        initial_resource_versions=state.reported,
                    )
                )
            else:
                state.started = False

    # The source

    @rule(type_url=types, name=names, bad=st.booleans())
    def change(self, type_url: str, name: str, bad: bool) -> None:
        self.contents += 1
        version = self.source.put(type_url, name, str(self.contents))
        if bad:
            self.bad.add(version)
        self._changed(type_url, name)

    @rule(type_url=types, name=names)
    def remove(self, type_url: str, name: str) -> None:
        self.source.remove(type_url, name)
        self._changed(type_url, name)

    @rule(type_url=types, name=names)
    def lose_sight(self, type_url: str, name: str) -> None:
        self.source.pend(type_url, name)
        self._changed(type_url, name)

    @rule(type_url=types, roots=st.sets(names))
    def move_roots(self, type_url: str, roots: set[str]) -> None:
        self.source.root_names[type_url] = tuple(sorted(roots))
        self.session.roots_changed(type_url)
        self._pull()

    def _changed(self, type_url: str, name: str) -> None:
        self.session.changed([(type_url, name)])
        self._pull()

    # The server

    @rule()
    def serve(self) -> None:
        """The server reads the next request."""
        if not self.requests:
            return
        request = self.requests.popleft()
        if request.response_nonce == self.unanswered.get(request.type_url):
            self._settle(request)
        for name in request.resource_names_subscribe:
            self.refused = {key for key in self.refused if key[:2] != (request.type_url, name) and name != "*"}
        self.session.receive(request)
        self._pull()

    def _settle(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        nonce = self.unanswered.pop(request.type_url)
        received = self.sent[nonce]
        if request.HasField("error_detail") and len(received.versions) == 1:
            ((name, version),) = received.versions.items()
            self.refused.add((request.type_url, name, version))

    def _pull(self) -> None:
        if not self.session.has_work:
            assert self.session.next_response() is None, "it had something to say and did not say so"
        while (data := self.session.next_response()) is not None:
            received = parse(data)
            assert received.type_url not in self.unanswered, "two responses of a type in flight"
            for name, version in received.versions.items():
                assert (received.type_url, name, version) not in self.refused, "sent what was refused"
            self.unanswered[received.type_url] = received.nonce
            self.sent[received.nonce] = received
            self.responses.append(received)

    @initialize()
    def begin(self) -> None:
        self.sent: dict[str, Received] = {}

    @invariant()
    def in_sync_means_nothing_is_on_the_way(self) -> None:
        if self.session.in_sync:
            assert not self.unanswered

    # The end

    def teardown(self) -> None:
        if not hasattr(self, "sent"):
            return
        self._quiesce()
        self._check_good()
        self._make_all_good()
        self._quiesce()
        assert self.session.in_sync
        self._check_exact()

    def _quiesce(self) -> None:
        rounds = 0
        while self.requests or self.responses:
            rounds += 1
            assert rounds < 10_000, "it never ends"
            self.serve()
            self.answer(in_part=False, named=False)

    def _wanted(self, type_url: str) -> set[str]:
        state = self.client[type_url]
        roots = self.source.roots(type_url) if state.wildcard else ()
        assert roots is not PENDING
        return state.explicit | set(roots)

    def _check_good(self) -> None:
        """Bad resources keep no others back."""
        for type_url, state in self.client.items():
            for name in self._wanted(type_url):
                current = self.source.get(type_url, name)
                if isinstance(current, Resource) and current.version not in self.bad:
                    assert state.holds.get(name) == current.version

    def _make_all_good(self) -> None:
        for (type_url, name), current in list(self.source.resources.items()):
            if current is PENDING or (isinstance(current, Resource) and current.version in self.bad):
                self.change(type_url, name, bad=False)

    def _check_exact(self) -> None:
        for type_url, state in self.client.items():
            expected = {}
            for name in self._wanted(type_url):
                current = self.source.get(type_url, name)
                if isinstance(current, Resource):
                    expected[name] = current.version
            assert state.holds == expected, type_url


TestDeltaConvergence = DeltaConvergence.TestCase
TestDeltaConvergence.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
