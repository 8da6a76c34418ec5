"""Objects on the way in and out: what a caller sends, what is stored, and what a caller gets.

Stored is what the user declared and nothing else. The server's own fields (resourceVersion, generation,
creationTimestamp, status) are added on the way out and dropped on the way in, so that what was read can be sent again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tulle.api.backend import Status
from tulle.api.errors import not_found
from tulle.model.kinds import Kind, Resource, find_kind
from tulle.model.names import ObjectRef
from tulle.model.parse import InvalidResource, decode_json, encode_json
from tulle.model.problem import Problem
from tulle.model.timestamp import rfc3339
from tulle.model.validate import validate
from tulle.store.protocol import Put, Stored

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_REVISION_DIGITS = 18
_SHOWN = 40


class Place(Struct, frozen=True):
    """Where a request's path points to: a kind, in a namespace or in none, and maybe one object of it."""

    kind: Kind
    namespace: str = ""
    name: str = ""

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.kind.api_version, self.kind.name, self.namespace, self.name)


class Checked(Struct, frozen=True):
    """A valid resource and the revision that its sender expects it to have now (0: it is new; None: whatever)."""

    resource: Resource
    expected: int | None

    @property
    def ref(self) -> ObjectRef:
        return self.resource.ref

    def put(self, expected: int | None) -> Put:
        """Writes what the user declared."""
        return Put(self.ref, encode_json(_declared(self.resource)), expected)


class _Metadata(Struct, frozen=True):
    labels: dict[str, str] = {}


class _Labelled(Struct, frozen=True):
    metadata: _Metadata = _Metadata()


_LABELLED = msgspec.json.Decoder(_Labelled)


def place(plural: str, namespace: str = "", name: str = "") -> Place:
    """The place that a path names; raises ApiError for a kind that there is not, or not in this scope."""
    kind = find_kind(plural)
    if kind is None or kind.plural != plural:
        raise not_found(f"a kind {plural!r}")
    if kind.namespaced != bool(namespace) and (name or namespace):
        path = f"namespaces/<namespace>/{plural}" if kind.namespaced else plural
        raise not_found(f"{plural!r} at this path (it is at /v1/{path})")
    return Place(kind, namespace, name)


def check(body: bytes) -> Checked | tuple[Problem, ...]:
    """The resource in `body`, or all that is wrong with it."""
    try:
        resource = decode_json(body)
    except InvalidResource as error:
        return tuple(_named(problem, "") for problem in error.problems)
    problems = tuple(_named(problem, str(resource.ref)) for problem in validate(resource))
    version = resource.metadata.resource_version
    expected = read_revision(version)
    if version and expected is None:
        message = f"{version[:_SHOWN]!r} is no revision of this server"
        problems += (Problem("metadata.resourceVersion", message, "leave it out", resource=str(resource.ref)),)
    return problems or Checked(resource, expected)


def check_at(body: bytes, target: Place) -> Checked | tuple[Problem, ...]:
    """As `check`, for a resource that has to be at `target`; without a namespace it is in that of `target`."""
    checked = check(_in_namespace(body, target.namespace))
    if not isinstance(checked, Checked):
        return checked
    ref = checked.ref
    namespace = ref.namespace if target.kind.namespaced and not target.namespace else target.namespace
    pairs = (
        ("kind", ref.kind, target.kind.name),
        ("metadata.namespace", ref.namespace, namespace),
        ("metadata.name", ref.name, target.name or ref.name),
    )
    problems = tuple(
        Problem(
            path, f"is {found!r}, but the request is about {wanted!r}", "send it to its own path", resource=str(ref)
        )
        for path, found, wanted in pairs
        if found != wanted
    )
    return problems or checked


def shown(stored: Stored, status: Status) -> Raw:
    """The object as JSON with the server's fields. One with revision 0, which is not stored, has no revision."""
    fields = _FIELDS.decode(stored.body)
    metadata = _FIELDS.decode(fields["metadata"])
    if stored.revision:
        revision = str(stored.revision).encode()
        metadata["resourceVersion"] = Raw(b'"' + revision + b'"')
    metadata["generation"] = Raw(str(stored.generation).encode())
    metadata["creationTimestamp"] = Raw(msgspec.json.encode(rfc3339(datetime.fromtimestamp(stored.created, UTC))))
    fields["metadata"] = Raw(msgspec.json.encode(metadata))
    fields["status"] = Raw(msgspec.json.encode(status))
    return Raw(msgspec.json.encode(fields))


def read_revision(text: str) -> int | None:
    """The revision that a text names; None where it names none that there could be."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _REVISION_DIGITS else None


def labels(stored: Stored) -> Mapping[str, str]:
    return _LABELLED.decode(stored.body).metadata.labels


def _declared(resource: Resource) -> Resource:
    metadata = replace(resource.metadata, resource_version="", uid="", creation_timestamp="", generation=0)
    return replace(resource, metadata=metadata)


def _in_namespace(body: bytes, namespace: str) -> bytes:
    """The body with `namespace` where it names none. A body that is not understood stays as it is."""
    if not namespace:
        return body
    try:
        fields = _FIELDS.decode(body)
        metadata = _FIELDS.decode(fields["metadata"])
        named = msgspec.json.decode(metadata.get("namespace", Raw(b"null")))
    except (msgspec.DecodeError, UnicodeError, KeyError):
        return body
    if named not in (None, ""):
        return body
    metadata["namespace"] = Raw(msgspec.json.encode(namespace))
    fields["metadata"] = Raw(msgspec.json.encode(metadata))
    return msgspec.json.encode(fields)


def _named(problem: Problem, resource: str) -> Problem:
    return problem if problem.resource else replace(problem, resource=resource)
