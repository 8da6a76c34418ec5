from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import mesh
from tests.fakes.keys import keys

from tulle.model.keys import Key, PassthroughClusterKey, RouteConfigKey, VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.snapshot import EMPTY, build
from tulle.view import Reader
from tulle.view import build as build_view
from tulle.view.types import PassthroughClusterView, RouteConfigView, VirtualHostView
from tulle.xds.translate import translate


@given(st.lists(mesh.resources, max_size=12), keys)
def test_every_key_of_every_mesh_has_an_answer_that_can_be_translated(resources: list[Resource], key: Key):
    view = build_view(Reader(build(resources)), key)
    if view is not None:
        assert translate(view).body


def test_what_proxies_wait_for_is_always_there():
    reader = Reader(EMPTY)
    assert build_view(reader, RouteConfigKey("shop")) == RouteConfigView("shop")
    assert build_view(reader, PassthroughClusterKey("/s")) == PassthroughClusterView(PassthroughClusterKey("/s"))
    assert build_view(reader, VirtualHostKey("shop", "x")) == VirtualHostView("shop", "x", ())
