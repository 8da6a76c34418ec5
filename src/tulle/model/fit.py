"""Leaves out of a document what its schema has no place for: null fields, which are absent ones, and unknown fields
where a look at the rest is wanted."""

from collections.abc import Mapping

from tulle.model.schema import Schema
from tulle.model.tree import Tree


def without_nulls(value: Tree, schema: Schema) -> Tree:
    """The document without known fields that are null."""
    return _fit(value, schema, schema, unknown=True)


def without_unknown(value: Tree, schema: Schema) -> Tree:
    """The document without null and without unknown fields."""
    return _fit(value, schema, schema, unknown=False)


def _fit(value: Tree, schema: Schema, root: Schema, unknown: bool) -> Tree:
    schema = _resolved(schema, root)
    if isinstance(value, Mapping):
        return _fit_mapping(value, schema, root, unknown)
    entries = schema.get("items")
    if isinstance(value, list | tuple) and isinstance(entries, Mapping):
        return [_fit(entry, entries, root, unknown) for entry in value]
    return value


def _fit_mapping(value: Mapping[str, Tree], schema: Schema, root: Schema, unknown: bool) -> Tree:
    fields = schema.get("properties")
    if not isinstance(fields, Mapping):
        rest = schema.get("additionalProperties")
        return value if not isinstance(rest, Mapping) else {k: _fit(v, rest, root, unknown) for k, v in value.items()}
    fitted: dict[str, Tree] = {}
    for key, entry in value.items():
        field = fields.get(key)
        if isinstance(field, Mapping) and entry is not None:
            fitted[key] = _fit(entry, field, root, unknown)
        elif field is None and unknown:
            fitted[key] = entry
    return fitted


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    definitions = root.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return schema
    found = definitions[reference.removeprefix("#/$defs/")]
    return found if isinstance(found, Mapping) else schema
