"""Golden files: for each feature the views (`view.yaml`) and the xDS they become (`xds.yaml`), both to be read.

`python -m tests.golden.rewrite` writes every `xds.yaml` anew; the diff is what a change does to proxies.
"""

import json
from pathlib import Path

import msgspec
import yaml
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.json_format import MessageToJson

from tulle.view import types
from tulle.xds import type_urls
from tulle.xds.resource import Resource
from tulle.xds.translate import translate

DIRECTORY = Path(__file__).parent
FEATURES = tuple(sorted(path.parent.name for path in DIRECTORY.glob("*/view.yaml")))

_MESSAGES = {
    type_urls.CLUSTER: Cluster,
    type_urls.ENDPOINTS: ClusterLoadAssignment,
    type_urls.LISTENER: Listener,
    type_urls.ROUTE_CONFIG: RouteConfiguration,
    type_urls.VIRTUAL_HOST: VirtualHost,
}


def views(feature: str) -> tuple[types.View, ...]:
    documents = yaml.safe_load_all((DIRECTORY / feature / "view.yaml").read_text())
    return tuple(_view(document) for document in documents)


def view_text(feature_views: tuple[types.View, ...]) -> str:
    """The content of a `view.yaml`; fields that have their default are left out."""
    return _yaml([{"view": type(view).__name__, **_fields(view)} for view in feature_views])


def resources(feature: str) -> tuple[Resource, ...]:
    return tuple(translate(view) for view in views(feature))


def xds_text(feature: str) -> str:
    """What `xds.yaml` has to say."""
    return _yaml([_resource(resource) for resource in resources(feature)])


def _view(document: dict[str, object]) -> types.View:
    kind = getattr(types, str(document.pop("view")))
    view: types.View = msgspec.convert(document, kind)
    return view


def _fields(value: msgspec.Struct) -> dict[str, object]:
    config = value.__struct_config__
    fields: dict[str, object] = {str(config.tag_field): config.tag} if config.tag else {}
    for field in msgspec.structs.fields(value):
        content = getattr(value, field.name)
        if content != field.default:
            fields[field.name] = _plain(content)
    return fields


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _fields(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return msgspec.to_builtins(value)


def _resource(resource: Resource) -> dict[str, object]:
    said: dict[str, object] = {"type": resource.type_url.rpartition(".")[2], "name": resource.name}
    if resource.aliases:
        said["aliases"] = list(resource.aliases)
    if message := _MESSAGES.get(resource.type_url):
        if resource.body:
            said["body"] = json.loads(
                MessageToJson(message.FromString(resource.body), preserving_proto_field_name=True)
            )
    else:
        said["body"] = json.loads(resource.body)
    return said


def _yaml(documents: list[dict[str, object]]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=110, default_flow_style=None, allow_unicode=True)
