"""The OpenAPI document: paths from the handlers, schemas from the types they answer with and from the model's kinds.

One source for both, so that the document cannot say anything that the server does not.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct

from tulle.api.errors import MEDIA_TYPE
from tulle.api.messages import ProblemDocument
from tulle.model.kinds import KINDS
from tulle.model.schema import json_schema

OpenApi: TypeAlias = dict[str, Any]  # FastAPI's own type for it
Responses: TypeAlias = dict[int | str, dict[str, Any]]

_REF = "#/components/schemas/"
RESOURCE = {"$ref": _REF + "Resource"}
RESOURCE_LIST = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "items"],
    "properties": {
        "apiVersion": {"const": "v1"},
        "kind": {"const": "List"},
        "metadata": {"type": "object", "properties": {"resourceVersion": {"type": "string"}}},
        "items": {"type": "array", "items": RESOURCE},
    },
}


def ref(type_: type[Struct]) -> Mapping[str, Any]:
    """The schema of one of the types given to `install`."""
    return {"$ref": _REF + type_.__name__}


def answers(schema: Mapping[str, Any], description: str = "What was asked for", status: int = 200) -> Responses:
    """The answer of a handler, and that everything else is a problem document."""
    return {
        status: {"description": description, "content": {"application/json": {"schema": dict(schema)}}},
        "default": {
            "description": "Refused or failed",
            "content": {MEDIA_TYPE: {"schema": dict(ref(ProblemDocument))}},
        },
    }


def takes(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The request body of a handler that reads it itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": dict(schema)}}}}


def install(app: FastAPI, types: tuple[type[Struct], ...]) -> None:
    """Makes the app describe itself with the schemas of `types` and of all kinds."""

    def openapi() -> OpenApi:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, types)
        return app.openapi_schema

    describe: Callable[[], OpenApi] = openapi
    app.openapi = describe  # type: ignore[method-assign]  # the way FastAPI documents


def _document(app: FastAPI, types: tuple[type[Struct], ...]) -> OpenApi:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, own = msgspec.json.schema_components(types, ref_template=_REF + "{name}")
    schemas.update(own)
    for kind in KINDS:
        schema = _with_component_refs(json_schema(kind.name))
        schemas.update(schema.pop("$defs", {}))
        schemas[kind.name] = schema
    schemas["Resource"] = {
        "oneOf": [{"$ref": _REF + kind.name} for kind in KINDS],
        "discriminator": {"propertyName": "kind"},
    }
    return document


def _with_component_refs(schema: Mapping[str, Any]) -> OpenApi:
    text = json.dumps(schema).replace('"#/$defs/', f'"{_REF}')
    moved: OpenApi = json.loads(text)
    moved.pop("$schema", None)
    return moved
