"""What `tulle up` adds to the files' resources, and when it calls the mesh ready."""

from msgspec.structs import replace
from tests.fakes.records import WEB_1

from tulle.agent.roster import Record
from tulle.cli.whole_mesh import not_ready, with_defaults
from tulle.model.app import App, AppSpec
from tulle.model.mesh import MESH_NAME, Mesh, MeshSpec
from tulle.model.metadata import Metadata
from tulle.model.names import AppName, WorkloadName

WEB = App(metadata=Metadata(name="web", namespace="shop"), spec=AppSpec(command=("web",), replicas=2))
CART = App(metadata=Metadata(name="cart", namespace="shop"), spec=AppSpec(command=("cart",)))
OTHER_WEB = replace(WEB, metadata=Metadata(name="web", namespace="bank"))
NODE_MESH = Mesh(metadata=Metadata(name=MESH_NAME), spec=MeshSpec(trust_domain="shop.example", mode="node"))


def test_there_is_a_mesh_in_any_case() -> None:
    assert with_defaults((WEB,), None) == (Mesh(metadata=Metadata(name=MESH_NAME)), WEB)


def test_the_files_mesh_stays_as_it_is_but_for_the_mode_that_is_asked_for() -> None:
    assert with_defaults((WEB, NODE_MESH), None) == (NODE_MESH, WEB)
    mesh, _ = with_defaults((WEB, NODE_MESH), "sidecar")
    assert mesh == replace(NODE_MESH, spec=replace(NODE_MESH.spec, mode="sidecar"))


def replica(namespace: str, app: str, number: int, state: str = "Ready") -> Record:
    return replace(WEB_1, name=WorkloadName(namespace, f"{app}-{number}"), app=app, state=state)


def test_each_replica_that_is_not_ready_counts() -> None:
    assert not_ready((WEB, CART), ()) == ["web", "web", "cart"]
    records = [replica("shop", "web", 1), replica("shop", "web", 2, "Starting"), replica("shop", "cart", 1)]
    assert not_ready((WEB, CART), records) == ["web"]


def test_more_than_are_wanted_make_up_for_no_other() -> None:
    """While an App changes there are old and new ones."""
    records = [replica("shop", "web", number) for number in range(4)]
    assert not_ready((WEB, CART), records) == ["cart"]


def test_an_app_of_another_namespace_is_another() -> None:
    assert not_ready((WEB, OTHER_WEB), [replica("shop", "web", 1), replica("shop", "web", 2)]) == ["web", "web"]


def test_what_was_taken_away_is_not_missed() -> None:
    assert not_ready((WEB, CART), (), {AppName("shop", "web"): 1}) == ["web"]
    assert not_ready((WEB,), [replica("shop", "web", 1)], {AppName("shop", "web"): 9}) == ["web"]
