"""Objects as the control plane shows them: what was declared, and what is true of it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from tulle.api.backend import Status
from tulle.api.messages import ResourceList
from tulle.cli.client import ControlPlane, Refused
from tulle.cli.errors import Failure
from tulle.cli.kinds import Target
from tulle.model.conditions import ACCEPTED, PROGRAMMED, RESOLVED_REFS, Condition
from tulle.model.kinds import Kind, Resource
from tulle.model.parse import InvalidResource, decode_json
from tulle.model.tree import Tree

DRY_RUN: Final[Mapping[str, str]] = {"dryRun": "All"}
GOOD_WHEN_TRUE = frozenset({ACCEPTED, RESOLVED_REFS, PROGRAMMED})


class Shown(Struct, frozen=True):
    """`body` is the whole object as it came."""

    resource: Resource
    status: Status
    body: Raw

    @property
    def tree(self) -> Tree:
        tree: Tree = msgspec.json.decode(self.body)
        return tree


class _WithStatus(Struct, frozen=True):
    status: Status = Status()


def path_of(kind: Kind, namespace: str, name: str = "") -> str:
    """Where objects of a kind are: those of a namespace, of all namespaces where it is empty, or one by name."""
    scope = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"/v1{scope}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def fetch(control: ControlPlane, target: Target, namespace: str, selector: str = "") -> tuple[Shown, ...]:
    """The objects of a target. Raises Refused, also where one that is named does not exist."""
    path = path_of(target.kind, namespace, target.name)
    if target.name:
        return (shown(control.get(path, Raw)),)
    query = {"labelSelector": selector} if selector else None
    return tuple(shown(item) for item in control.get(path, ResourceList, query).items)


def find(control: ControlPlane, target: Target, namespace: str) -> Shown | None:
    """The object of a target that has a name, or None where it does not exist."""
    try:
        return fetch(control, target, namespace)[0]
    except Refused as refused:
        if refused.status == 404:
            return None
        raise


def shown(body: Raw) -> Shown:
    """Raises Failure for an object that this version does not know."""
    try:
        return Shown(decode_json(bytes(body)), msgspec.json.decode(body, type=_WithStatus).status, body)
    except (InvalidResource, msgspec.DecodeError) as error:
        raise Failure(
            f"an object of the control plane is not understood: {error}",
            "is it of another version? compare `tulle version` there and here",
        ) from error


def conditions(status: Status) -> tuple[Condition, ...]:
    """All conditions, whatever they are about."""
    return (*status.conditions, *(condition for parent in status.parents for condition in parent.conditions))


def is_bad(condition: Condition) -> bool:
    """Whether a condition says that something is wrong."""
    return (condition.status == "True") != (condition.type in GOOD_WHEN_TRUE)
