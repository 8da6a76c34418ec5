"""The mesh of the data plane's benchmark."""

from benchmarks.dataplane.mesh import MeshSettings, called, resources

from tulle.model.app import App
from tulle.model.names import ServiceName
from tulle.model.snapshot import build
from tulle.model.validate import validate


def test_a_client_and_a_server_in_each_mode() -> None:
    made = resources(MeshSettings(("true",)))
    apps = {(r.metadata.namespace, r.metadata.name) for r in made if isinstance(r, App)}
    assert apps == {(mode, name) for mode in ("sidecar", "node") for name in ("client", "server")}


def test_services_that_are_called_lead_to_the_server_and_others_elsewhere() -> None:
    made = resources(MeshSettings(("true",), ("sidecar",), called=2, others=3))
    snapshot = build(made, 1)
    assert len(snapshot.services) == 1 + 2 + 3
    assert not snapshot.members.get(ServiceName("sidecar", called(1)))
    assert len(snapshot.members[ServiceName("sidecar", "other-2")]) == 1


def test_everything_is_valid() -> None:
    for made in resources(MeshSettings(("true",), called=1, others=300)):
        assert not validate(made)
