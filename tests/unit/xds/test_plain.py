import json

from tulle.model.keys import ClusterKey, EndpointsKey, NameKey
from tulle.model.names import ServiceName, ServicePort
from tulle.view.types import ClusterView, NameView
from tulle.xds import type_urls
from tulle.xds.plain import body_json
from tulle.xds.resource import nothing
from tulle.xds.translate import translate

CATALOG = ServicePort(ServiceName("shop", "catalog"), 8080)


def test_messages_inside_messages_are_shown_as_what_they_are():
    shown = json.loads(body_json(translate(ClusterView(ClusterKey(CATALOG), "http", (), EndpointsKey(CATALOG)))))
    assert shown["name"] == "catalog.shop:8080"
    assert "common_tls_context" in shown["transport_socket"]["typed_config"]


def test_what_agents_read_is_json_already():
    shown = json.loads(body_json(translate(NameView(NameKey("shop", "catalog"), ("240.240.0.1",)))))
    assert shown["addresses"] == ["240.240.0.1"]


def test_nothing_is_an_empty_message():
    assert body_json(nothing(type_urls.VIRTUAL_HOST, "shop/*", ("shop/*",))) == "{}"
