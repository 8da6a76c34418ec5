"""Whatever goes and comes back in whatever order, in the end the proxy has what the control plane has."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.agent.test_relay_state import Mesh, start

from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER

PLACES = ((LISTENER, "in"), (LISTENER, "in2"), (CLUSTER, "local"), (CLUSTER, "remote"), (ENDPOINTS, "remote"))
STEPS = st.one_of(
    st.sampled_from(("control plane goes", "control plane comes", "proxy goes", "proxy comes", "relay restarts")),
    st.sampled_from(("away", "present")),
    st.tuples(st.sampled_from(PLACES), st.sampled_from(("1", "2", "bad", None))),
)


def set_body(mesh: Mesh, type_url: str, name: str, body: str | None) -> None:
    if body is None and (type_url, name) not in mesh.control.resources:
        return
    if name in ("in", "in2", "local"):
        roots = set(mesh.control.root_names.get(type_url, ())) - {name}
        mesh.control.root_names[type_url] = tuple(sorted(roots if body is None else roots | {name}))
    mesh.change(type_url, name, body)


def take(mesh: Mesh, step: str | tuple[tuple[str, str], str | None]) -> None:
    match step:
        case "control plane goes":
            mesh.lose_upstream()
        case "control plane comes" if mesh.up is None:
            mesh.open_upstream()
        case "proxy goes" if mesh.down is not None:
            mesh.lose_proxy()
        case "proxy comes" if mesh.down is None:
            start(mesh)
        case "relay restarts":
            mesh.restarted_relay()
        case "away" | "present":
            mesh.carry_out(mesh.relay.set_away(step == "away"))
        case ((type_url, name), body):
            set_body(mesh, type_url, name, body)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_everything_converges(steps: list[str | tuple[tuple[str, str], str | None]]) -> None:
    mesh = Mesh()
    mesh.refuses.add("bad")
    for step in steps:
        take(mesh, step)
        assert "bad" not in mesh.has.values()
    for step in ("control plane comes", "present", "proxy comes"):
        take(mesh, step)
    for type_url, name in PLACES:
        found = mesh.control.resources.get((type_url, name))
        if found is not None and found.body == b"bad":
            set_body(mesh, type_url, name, "good")
    assert mesh.has == {place: found.body.decode() for place, found in mesh.control.resources.items()}
    assert mesh.up is not None
    assert mesh.up.in_sync
    assert mesh.relay.waiting == ()
    assert mesh.relay.refusals == ()
    contents = mesh.relay.contents()
    kept = {(type_url, name) for type_url, names in contents.good.items() for name in names}
    assert kept == set(mesh.has)
    assert not contents.unproven
