"""A view's facts are all that it depends on: what changes elsewhere never changes it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import mesh
from tests.fakes.keys import keys, proxies

from tulle.model.keys import Key
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ProxyId, ServiceName
from tulle.model.snapshot import Fact, Snapshot, build, update
from tulle.view import Reader, scope
from tulle.view import build as build_view
from tulle.view.types import View

changes = st.lists(st.tuples(mesh.resources, st.booleans()), max_size=5).map(
    lambda entries: {r.ref: r if kept else None for r, kept in entries}
)


def read(snapshot: Snapshot, question: Key | ProxyId) -> tuple[object, set[Fact]]:
    reader = Reader(snapshot)
    answer: View | object = scope(reader, question) if isinstance(question, ProxyId) else build_view(reader, question)
    return answer, reader.facts


@settings(max_examples=400)
@given(st.lists(mesh.resources, max_size=12), changes, st.lists(keys | proxies, min_size=1, max_size=8))
def test_an_answer_changes_only_with_its_facts(
    resources: list[Resource], changed: dict[ObjectRef, Resource | None], questions: list[Key | ProxyId]
):
    before = build(resources)
    after, facts = update(before, changed, 1)
    for question in questions:
        answer, read_facts = read(before, question)
        if not facts & read_facts:
            assert read(after, question) == (answer, read_facts)


@settings(max_examples=200)
@given(st.lists(mesh.resources, max_size=12), keys | proxies)
def test_an_answer_needs_nothing_that_it_did_not_read(resources: list[Resource], question: Key | ProxyId):
    """Everything else can be taken out of the tables."""
    full = build(resources)
    answer, facts = read(full, question)
    kept = {
        name: {key: value for key, value in getattr(full, name).items() if Fact(name, key) in facts}
        for name in Snapshot.__struct_fields__
        if name != "revision"
    }
    assert read(Snapshot(**kept), question) == (answer, facts)


def test_what_was_not_there_is_a_fact_too():
    reader = Reader(build([]))
    assert reader.service(ServiceName("shop", "catalog")) is None
    assert reader.facts == {Fact("services", ServiceName("shop", "catalog"))}


def test_the_mesh_has_defaults():
    reader = Reader(build([]))
    assert reader.mesh().trust_domain == "tulle.local"
    assert reader.facts == {Fact("objects", ObjectRef("tulle.dev/v1alpha1", "Mesh", "", "default"))}
