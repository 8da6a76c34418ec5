"""Explains what does not fit a kind's JSON Schema: every mistake, what was given, and what to write instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tulle.model.problem import Problem
from tulle.model.schema import json_schema
from tulle.model.tree import Tree, below, path_of

_NOUNS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of fields",
    "null": "nothing",
}
_SHOWN = 60


def explain(kind: str, value: Tree, texts: Mapping[str, str]) -> tuple[Problem, ...]:
    """All mistakes, in order of path. `texts` has values as they were written, by path, where that is known."""
    return mistakes(_validator(kind), value, texts)


def mistakes(validator: Draft202012Validator, value: Tree, texts: Mapping[str, str]) -> tuple[Problem, ...]:
    """The same by any schema."""
    found: dict[Problem, None] = {}
    for error in sorted(validator.iter_errors(value), key=lambda e: [str(key) for key in e.absolute_path]):
        found.update(dict.fromkeys(_problems(error, texts)))
    return tuple(found)


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


def _problems(error: ValidationError, texts: Mapping[str, str]) -> Iterator[Problem]:
    path = path_of(error.absolute_path)
    instance: Any = error.instance
    schema: Any = error.schema
    limit: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            for key in instance:
                if key not in schema["properties"]:
                    yield Problem(below(path, key), f"unknown field `{key}`", suggest(key, schema["properties"]))
        case "required":
            for key in limit:
                if key not in instance:
                    yield Problem(below(path, key), f"`{key}` is missing", _expected(schema, key))
        case "anyOf":
            yield from _alternatives(error, texts)
        case "type":
            yield _wrong_type(path, instance, schema, texts)
        case "enum":
            choices = ", ".join(str(choice) for choice in limit)
            yield Problem(path, f"must be one of {choices}, not {describe(instance)}", _closest(str(instance), limit))
        case "maxItems":
            yield Problem(path, f"has {len(instance)} entries; at most {limit} are allowed")
        case "minItems":
            yield Problem(path, f"has {len(instance)} entries; at least {limit} must be there")
        case _:
            if "propertyNames" in error.absolute_schema_path:
                path = below(path, str(instance))
            wanted = schema.get("description") or f"text of {_lengths(schema)} characters"
            yield Problem(path, f"must be {wanted}; {describe(instance)} is not", _hint(instance, schema))


def _lengths(schema: Mapping[str, int]) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    return f"{shortest} to {longest}" if longest else f"at least {shortest}"


def _expected(schema: Mapping[str, Any], key: str) -> str:
    described = schema["properties"].get(key, {})
    if "enum" in described:
        return f"{key}: {described['enum'][0]}"
    return f"it must be {described['description']}" if "type" in described and "description" in described else ""


def _alternatives(error: ValidationError, texts: Mapping[str, str]) -> Iterator[Problem]:
    """The problems of the alternative whose type is right, or one that names all types."""
    branches: dict[int, list[ValidationError]] = {}
    for cause in error.context or ():
        branches.setdefault(int(cause.relative_schema_path[0]), []).append(cause)
    for causes in branches.values():
        if all(cause.validator != "type" for cause in causes):
            for cause in causes:
                yield from _problems(cause, texts)
            return
    instance: Any = error.instance
    alternatives: Any = error.validator_value
    nouns = " or ".join(_NOUNS.get(str(branch.get("type")), "a value") for branch in alternatives)
    yield Problem(path_of(error.absolute_path), f"must be {nouns}, not {describe(instance)}")


def _wrong_type(path: str, instance: Tree, schema: Mapping[str, str], texts: Mapping[str, str]) -> Problem:
    wanted = schema["type"]
    written = texts.get(path) or (str(instance).lower() if isinstance(instance, bool) else str(instance))
    hint = ""
    if wanted == "string" and isinstance(instance, bool | int | float):
        hint = f'write it in quotes: "{written}"' if re.search(schema.get("pattern", ""), written) else ""
    elif wanted == "integer" and isinstance(instance, str) and re.fullmatch(r"[0-9]{1,9}", instance):
        hint = f"write {instance} without quotes"
    elif wanted == "boolean" and isinstance(instance, str):
        truth = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
        word = truth.get(instance.lower(), "")
        hint = f"write {word} without quotes" if word else ""
    elif wanted == "array" and instance is not None:
        hint = "write it as the entry of a list: put '- ' before it"
    described = schema.get("description") if wanted in ("string", "integer") and not hint else None
    noun = described or _NOUNS.get(wanted, wanted)
    return Problem(path, f"must be {noun}, not {_given(instance, written)}", hint)


def _given(instance: Tree, written: str) -> str:
    is_number = isinstance(instance, int | float) and not isinstance(instance, bool)
    return f"the number {written}" if is_number else describe(instance)


def describe(value: Tree) -> str:
    """A value in a sentence, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _SHOWN else f'"{value[:_SHOWN]}…"'
    if isinstance(value, int | float):
        return f"{value}"
    return "a mapping of fields" if isinstance(value, Mapping) else "a list"


def suggest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """Names the known word that was meant, else all of them."""
    names = [str(name) for name in known]
    return _closest(word, names) or (f"known here: {', '.join(names)}" if names else "")


def _closest(word: str, known: Sequence[object]) -> str:
    by_lower = {str(name).lower(): str(name) for name in known}
    close = get_close_matches(word.lower()[:_SHOWN], by_lower, n=1, cutoff=0.6)
    return f"did you mean `{by_lower[close[0]]}`?" if close else ""


def _hint(instance: Tree, schema: Mapping[str, str]) -> str:
    """Lower case, where that is all that is wrong."""
    pattern = schema.get("pattern")
    if isinstance(instance, str) and pattern and instance.lower() != instance and len(instance) <= 253:
        return f"write {instance.lower()}" if re.search(pattern, instance.lower()) else ""
    return ""
