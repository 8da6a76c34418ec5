"""Parses what users and the store hold into typed resources: YAML with all of its problems, JSON fast.

A document is converted in one step; only where that fails is it looked at again, slowly, to say everything that is
wrong with it. Null fields are absent fields and `status` is dropped, as everywhere in Kubernetes.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from tulle.model.duration import Duration
from tulle.model.explain import describe, explain, suggest
from tulle.model.fit import without_nulls, without_unknown
from tulle.model.kinds import Kind, Resource, kind_named
from tulle.model.names import ObjectRef
from tulle.model.problem import Problem
from tulle.model.resource import DEFAULT_NAMESPACE
from tulle.model.schema import json_schema, kinds
from tulle.model.tree import Tree, below
from tulle.model.validate import validate
from tulle.model.yaml_tree import Document, read_yaml


class Parsed(Struct, frozen=True):
    """A valid resource and where it was declared."""

    resource: Resource
    file: str
    line: int


class InvalidResource(Exception):
    """A body is no resource; `problems` says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def parse_yaml(
    text: str, file: str, namespace: str = DEFAULT_NAMESPACE
) -> tuple[tuple[Parsed, ...], tuple[Problem, ...]]:
    """The valid resources of a file and the problems of all others, both in the file's order. `namespace` is that of
    resources that name none. Never raises."""
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    first_lines: dict[ObjectRef, int] = {}
    for document in read_yaml(text):
        problems.extend(msgspec.structs.replace(p, file=file, line=p.line or document.line) for p in document.problems)
        if document.problems:
            continue
        for path, value in _items(document.value):
            resource, found = _read(value, namespace, _texts_below(document, path))
            line = document.line_of(path)
            if resource and not found and resource.ref in first_lines:
                found = (Problem("", f"is declared twice, first in line {first_lines[resource.ref]}", "keep one"),)
            if resource and not found:
                first_lines[resource.ref] = line
                parsed.append(Parsed(resource, file, line))
            name = _name(value, namespace)
            located = [_located(problem, document, path, file, name) for problem in found]
            problems.extend(sorted(located, key=lambda problem: problem.line))
    return tuple(parsed), tuple(problems)


def decode_json(body: bytes) -> Resource:
    """The resource that a JSON body holds. Its shape is checked, the rules of `validate` are not. Raises
    InvalidResource."""
    try:
        decoded: Resource = _DECODER.decode(body)
        return decoded
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        resource, problems = _shape(_json_tree(body), DEFAULT_NAMESPACE, {})
    if resource is None or problems:
        raise InvalidResource(problems)
    return resource


def encode_json(resource: Resource) -> bytes:
    """Equal bytes for equal resources; fields that have their default are left out."""
    return _ENCODER.encode(resource)


def _decode_hook(type_: type, value: object) -> object:
    if type_ is Duration and isinstance(value, str):
        return Duration.parse(value)
    raise ValueError(f"{value!r} is not a {type_.__name__}")


def _encode_hook(value: object) -> object:
    if isinstance(value, Duration):
        return str(value)
    raise NotImplementedError(f"{type(value)} has no JSON")


_DECODER = msgspec.json.Decoder(Resource, dec_hook=_decode_hook)
_ENCODER = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")


def _json_tree(body: bytes) -> Tree:
    try:
        tree: Tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidResource((Problem("", f"this is not JSON: {error}"),)) from error
    except RecursionError as error:
        raise InvalidResource((Problem("", "values are nested too deep"),)) from error
    return tree


def _items(value: Tree) -> Iterator[tuple[str, Tree]]:
    """The documents inside a document: its entries with their paths, if it is a List, else itself."""
    items = value.get("items") if isinstance(value, Mapping) and value.get("kind") == "List" else None
    if isinstance(items, list):
        yield from ((below("items", index), item) for index, item in enumerate(items))
    else:
        yield "", value


def _texts_below(document: Document, path: str) -> Mapping[str, str]:
    if not path:
        return document.texts
    start = f"{path}."
    return {key.removeprefix(start): text for key, text in document.texts.items() if key.startswith(start)}


def _located(problem: Problem, document: Document, path: str, file: str, name: str) -> Problem:
    whole = f"{path}.{problem.path}" if path and problem.path else path or problem.path
    return msgspec.structs.replace(problem, file=file, line=document.line_of(whole), resource=name)


def _name(value: Tree, namespace: str) -> str:
    """What a document calls itself, as far as it can be read."""
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        return ""
    kind, metadata = str(value["kind"]), value.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return kind
    known = kind_named(kind)
    space = str(metadata.get("namespace") or namespace) if known and known.namespaced else ""
    return str(ObjectRef("", kind, space, str(metadata["name"])))


def _read(value: Tree, namespace: str, texts: Mapping[str, str]) -> tuple[Resource | None, tuple[Problem, ...]]:
    """The resource if its shape is right, and all that is wrong with it."""
    resource, problems = _shape(value, namespace, texts)
    return resource, problems + (validate(resource) if resource else ())


def _shape(value: Tree, namespace: str, texts: Mapping[str, str]) -> tuple[Resource | None, tuple[Problem, ...]]:
    """The resource, if there is one. With unknown fields there is, so that its other mistakes can be found as well."""
    if not isinstance(value, Mapping):
        hint = "start it with apiVersion, kind and metadata"
        return None, (Problem("", f"a resource must be a mapping of fields, not {describe(value)}", hint),)
    kind = kind_named(str(value.get("kind")))
    problems = _header_problems(value, kind)
    if kind is None or problems:
        return None, problems
    plain = _plain(value, kind, namespace)
    try:
        return _convert(plain, kind), ()
    except msgspec.ValidationError:
        return _explained(plain, kind, texts)


def _explained(
    plain: Mapping[str, Tree], kind: Kind, texts: Mapping[str, str]
) -> tuple[Resource | None, tuple[Problem, ...]]:
    """The slow way: says all that does not fit the schema, and reads on without the fields that are unknown."""
    schema = json_schema(kind.name)
    fitting = without_nulls(plain, schema)
    problems = explain(kind.name, fitting, texts)
    try:
        return _convert(without_unknown(fitting, schema), kind), problems
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        return None, problems or (Problem(path.rstrip("`"), message),)


def _convert(tree: Tree, kind: Kind) -> Resource:
    return msgspec.convert(tree, kind.type, dec_hook=_decode_hook)


def _plain(value: Mapping[str, Tree], kind: Kind, namespace: str) -> Mapping[str, Tree]:
    """The document in the version that is kept, in a namespace, without its status."""
    plain = {key: entry for key, entry in value.items() if key != "status"}
    plain["apiVersion"] = kind.api_version
    metadata = plain.get("metadata")
    if kind.namespaced and isinstance(metadata, Mapping) and not metadata.get("namespace"):
        plain["metadata"] = {**metadata, "namespace": namespace}
    return plain


def _header_problems(value: Mapping[str, Tree], kind: Kind | None) -> tuple[Problem, ...]:
    """What is wrong with kind and apiVersion, which say what everything else has to be."""
    name, version = value.get("kind"), value.get("apiVersion")
    if kind is None:
        if not isinstance(name, str):
            return (Problem("kind", "`kind` is missing", f"known here: {', '.join(kinds())}"),)
        return (Problem("kind", f"there is no kind `{name}`", suggest(name, kinds())),)
    if version in (kind.api_version, *kind.also):
        return ()
    if version is None:
        return (Problem("apiVersion", "`apiVersion` is missing", f"write apiVersion: {kind.api_version}"),)
    return (
        Problem("apiVersion", f"{kind.name} is not in {describe(version)}", f"write apiVersion: {kind.api_version}"),
    )
