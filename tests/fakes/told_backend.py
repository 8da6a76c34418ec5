"""A control plane that says of each object what the test says."""

from tests.fakes.backend import FakeBackend

from tulle.api.backend import Status
from tulle.model.names import ObjectRef
from tulle.store.protocol import Store


class ToldBackend(FakeBackend):
    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.known_statuses: dict[ObjectRef, Status] = {}

    def status(self, ref: ObjectRef) -> Status:
        return self.known_statuses.get(ref) or super().status(ref)
