"""What users declare (`in.yaml`) becomes exactly the views of `view.yaml`."""

import pytest
from tests.fakes.mesh import declared
from tests.golden.golden import DIRECTORY, FEATURES, views

from tulle.model.keys import Key, NodeKey, RouteConfigKey, VirtualHostKey
from tulle.model.snapshot import build
from tulle.view import Reader
from tulle.view import build as build_view
from tulle.view.types import NodeView, RouteConfigView, View, VirtualHostView

NOT_DECLARED = {"direct_response", "passthrough", "route_config"}
"""Features that no resource of a user is behind."""

DECLARED = sorted(set(FEATURES) - NOT_DECLARED)
SCREEN = 50


def key_of(view: View) -> Key:
    match view:
        case VirtualHostView():
            return VirtualHostKey(view.client_namespace, view.authority)
        case RouteConfigView():
            return RouteConfigKey(view.client_namespace)
        case NodeView():
            return NodeKey(view.node)
        case _:
            return view.key


@pytest.mark.parametrize("feature", DECLARED)
def test_what_is_declared_becomes_the_views(feature: str) -> None:
    text = (DIRECTORY / feature / "in.yaml").read_text()
    reader = Reader(build(declared(text)))
    for view in views(feature):
        assert build_view(reader, key_of(view)) == view
    assert text.count("\n") <= SCREEN, "one screen"
