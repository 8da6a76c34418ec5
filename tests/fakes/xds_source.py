"""A Source whose resources are set by hand; the name and version of a resource are its whole content."""

from tulle.stream.protocol import ABSENT, PENDING, Absent, Pending
from tulle.xds.resource import Resource, resource


def make(type_url: str, name: str, content: str) -> Resource:
    return resource(type_url, name, content.encode())


class FakeSource:
    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], Resource | Pending] = {}
        self.root_names: dict[str, tuple[str, ...] | Pending] = {}

    def put(self, type_url: str, name: str, content: str = "1") -> str:
        """Sets a resource and returns its version."""
        made = make(type_url, name, content)
        self.resources[type_url, name] = made
        return made.version

    def pend(self, type_url: str, name: str) -> None:
        self.resources[type_url, name] = PENDING

    def remove(self, type_url: str, name: str) -> None:
        self.resources.pop((type_url, name), None)

    def get(self, type_url: str, name: str) -> Resource | Absent | Pending:
        return self.resources.get((type_url, name), ABSENT)

    def roots(self, type_url: str) -> tuple[str, ...] | Pending:
        return self.root_names.get(type_url, ())
