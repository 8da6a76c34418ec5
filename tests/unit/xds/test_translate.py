"""Every kind of view has a translation, under the name of its key."""

from typing import get_args

import msgspec
from tests.golden.golden import FEATURES, views

from tulle.view.types import NodeView, View
from tulle.xds.names import key_of, name_of
from tulle.xds.translate import translate

ALL = [view for feature in FEATURES for view in views(feature)]


def test_every_kind_of_view_is_golden() -> None:
    assert {type(view) for view in ALL} == set(get_args(View))


def test_every_resource_is_named_as_a_key() -> None:
    for view in ALL:
        resource = translate(view)
        key = key_of(resource.type_url, resource.name)
        assert key is not None
        assert name_of(key) == (resource.type_url, resource.name)


def test_agents_read_views_back() -> None:
    (view,) = views("node")
    assert msgspec.json.decode(translate(view).body, type=NodeView) == view
