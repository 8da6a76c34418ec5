"""What a delta client wants, and the requests that tell a server so, as a state machine without I/O.

Wishes outlive streams: after a reconnect the first request of each type says everything that is wanted and what the
client has of it, so that the server sends only what differs.

Source: Envoy's xDS protocol documentation, "The xDS Protocol: Incremental xDS".
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tulle.stream.order import rank
from tulle.stream.protocol import WILDCARD


class Subscriptions:
    """`held` gives the versions by name that the client has of a type now."""

    def __init__(self, node: base_pb2.Node, held: Callable[[str], Mapping[str, str]]) -> None:
        self._node = node
        self._held = held
        self._wanted: dict[str, set[str]] = {}
        # By type, for the present stream: what the server was told, and what it is still to be told.
        self._told: dict[str, set[str]] = {}
        self._joining: dict[str, set[str]] = {}
        self._leaving: dict[str, set[str]] = {}
        self._answers: deque[discovery_pb2.DeltaDiscoveryRequest] = deque()
        self._node_sent = False

    def wanted(self, type_url: str) -> frozenset[str]:
        return frozenset(self._wanted.get(type_url, ()))

    def subscribe(self, type_url: str, names: Iterable[str]) -> None:
        """Wants `names` (`*`: the wildcard). A name that is wanted already is asked for again, and answered again."""
        joining = set(names)
        self._wanted.setdefault(type_url, set()).update(joining)
        self._joining.setdefault(type_url, set()).update(joining)
        self._leaving.get(type_url, set()).difference_update(joining)

    def unsubscribe(self, type_url: str, names: Iterable[str]) -> None:
        leaving = self._wanted.get(type_url, set()).intersection(names)
        self._wanted.get(type_url, set()).difference_update(leaving)
        self._joining.get(type_url, set()).difference_update(leaving)
        self._leaving.setdefault(type_url, set()).update(leaving & self._told.get(type_url, set()))

    def answer(self, type_url: str, nonce: str, error: str | None) -> None:
        """Acknowledges the response with `nonce`, or refuses it because of `error`."""
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=nonce)
        if error is not None:
            request.error_detail.message = error
        self._answers.append(request)

    def restart(self) -> None:
        """A new stream begins: nothing has been said, and answers to the old one are worthless."""
        self._told, self._leaving, self._node_sent = {}, {}, False
        self._answers.clear()
        self._joining = {type_url: set(names) for type_url, names in self._wanted.items() if names}

    def next_request(self) -> discovery_pb2.DeltaDiscoveryRequest | None:
        """What is to be sent now, or None. Newer wishes are merged into those that were not sent yet."""
        request = self._answers.popleft() if self._answers else self._next_change()
        if request is not None and not self._node_sent:
            request.node.CopyFrom(self._node)
            self._node_sent = True
        return request

    def _next_change(self) -> discovery_pb2.DeltaDiscoveryRequest | None:
        for type_url in sorted(self._joining.keys() | self._leaving.keys(), key=rank):
            joining, leaving = self._joining.pop(type_url, set()), self._leaving.pop(type_url, set())
            if joining or leaving:
                return self._change(type_url, joining, leaving)
        return None

    def _change(self, type_url: str, joining: set[str], leaving: set[str]) -> discovery_pb2.DeltaDiscoveryRequest:
        first = type_url not in self._told
        told = self._told.setdefault(type_url, set())
        told |= joining
        told -= leaving
        return discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=sorted(joining),
            resource_names_unsubscribe=sorted(leaving),
            initial_resource_versions=self._initial_versions(type_url) if first else {},
        )

    def _initial_versions(self, type_url: str) -> dict[str, str]:
        wanted, held = self._wanted[type_url], self._held(type_url)
        return {name: version for name, version in held.items() if name in wanted or WILDCARD in wanted}
