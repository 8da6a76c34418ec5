"""Conditions: what is true of a resource, as the Gateway API says it, with the types and reasons that routes use."""

from typing import Literal, TypeAlias

from tulle.model.part import Part
from tulle.model.references import ParentReference

ACCEPTED = "Accepted"
RESOLVED_REFS = "ResolvedRefs"
PROGRAMMED = "Programmed"

REASON_ACCEPTED = "Accepted"
REASON_CONFLICTED = "Conflicted"
REASON_UNSUPPORTED_VALUE = "UnsupportedValue"
REASON_NO_MATCHING_PARENT = "NoMatchingParent"
REASON_RESOLVED_REFS = "ResolvedRefs"
REASON_REF_NOT_PERMITTED = "RefNotPermitted"
REASON_INVALID_KIND = "InvalidKind"
REASON_BACKEND_NOT_FOUND = "BackendNotFound"
REASON_PROGRAMMED = "Programmed"

CONTROLLER_NAME = "tulle.dev/mesh-controller"

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


class Condition(Part, frozen=True):
    """`observed_generation` is the generation that this was true of, `last_transition_time` (RFC 3339) the time at
    which `status` last changed."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


class RouteParentStatus(Part, frozen=True):
    """What is true of a route at one of its parents."""

    parent_ref: ParentReference
    conditions: tuple[Condition, ...]
    controller_name: str = CONTROLLER_NAME
