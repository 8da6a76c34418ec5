"""JSON Schema of every kind, from the types: what editors complete with, and what mistakes are explained by.

An absent field and one that is null are the same, as in Kubernetes; the schema only knows absent ones.
"""

from collections.abc import Mapping
from functools import cache

import msgspec

from tulle.model.duration import SCHEMA as DURATION_SCHEMA
from tulle.model.duration import Duration
from tulle.model.kinds import KINDS, kind_named
from tulle.model.tree import Tree

Schema = Mapping[str, Tree]


def kinds() -> tuple[str, ...]:
    """The names of all kinds."""
    return tuple(kind.name for kind in KINDS)


@cache
def json_schema(kind: str) -> Schema:
    """The JSON Schema (draft 2020-12) of documents of a kind. Raises KeyError where there is no such kind."""
    found = kind_named(kind)
    if found is None:
        raise KeyError(kind)
    whole = _without_null(msgspec.json.schema(found.type, schema_hook=_custom))
    definitions = dict(_mapping(whole["$defs"]))
    root = dict(_mapping(definitions.pop(kind)))
    versions = [found.api_version, *found.also]
    root["properties"] = {
        "apiVersion": {"enum": versions},
        **{name: value for name, value in _mapping(root["properties"]).items() if name != "apiVersion"},
        "status": {"type": "object", "description": "What the control plane found out. Ignored where it is given."},
    }
    root["required"] = ["apiVersion", "kind", "metadata", *(["spec"] if "spec" in _names(root["required"]) else [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


def _custom(type_: type) -> dict[str, object]:
    if type_ is Duration:
        return dict(DURATION_SCHEMA)
    raise NotImplementedError(f"{type_} has no JSON Schema")


def _without_null(node: object) -> dict[str, Tree]:
    """The schema without the alternative null, which stands for an absent field."""
    cleaned = _clean(node)
    if not isinstance(cleaned, dict):
        raise TypeError("a JSON Schema is a mapping")
    return cleaned


def _clean(node: object) -> Tree:
    if isinstance(node, list | tuple):
        return [_clean(entry) for entry in node]
    if not isinstance(node, dict):
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"{node!r} is no part of a JSON Schema")
    alternatives = node.get("anyOf")
    if isinstance(alternatives, list) and {"type": "null"} in alternatives:
        rest = [entry for entry in alternatives if entry != {"type": "null"}]
        others = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        node = {**others, **rest[0]} if len(rest) == 1 else {**others, "anyOf": rest}
    if isinstance(node.get("enum"), list) and None in node["enum"]:
        node = {**node, "enum": [value for value in node["enum"] if value is not None]}
    return {key: _clean(value) for key, value in node.items() if not (key == "default" and value in (None, ""))}


def _mapping(node: Tree) -> Mapping[str, Tree]:
    return node if isinstance(node, Mapping) else {}


def _names(node: Tree) -> tuple[str, ...]:
    return tuple(str(name) for name in node) if isinstance(node, list) else ()
