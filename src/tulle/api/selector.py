"""Label selectors in the syntax of kubectl: `app=web,tier in (front,back),!legacy`."""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tulle.model.problem import Problem

_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^\s=!]+)\s*(==?|!=)\s*(\S*)")
_EXISTS = re.compile(r"(!?)\s*([^\s=!()]+)")
_COMMA = re.compile(r",(?![^()]*\))")  # none of those inside parentheses


class Requirement(Struct, frozen=True):
    """`in` and `notin` as Kubernetes means them: an object without the label is `notin` everything."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
        return value is None


class Selector(Struct, frozen=True):
    """All requirements must hold; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector | Problem:
    requirements = []
    for part in _COMMA.split(text) if text.strip() else ():
        requirement = _requirement(part.strip())
        if requirement is None:
            return Problem(
                "labelSelector",
                f"{part.strip()!r} is no requirement",
                "write key=value, key!=value, key in (a,b), key notin (a,b), key or !key",
            )
        requirements.append(requirement)
    return Selector(tuple(requirements))


def _requirement(text: str) -> Requirement | None:
    if match := _SET.fullmatch(text):
        operator: Literal["in", "notin"] = "in" if match[2] == "in" else "notin"
        return Requirement(match[1], operator, frozenset(value.strip() for value in match[3].split(",")))
    if match := _EQUAL.fullmatch(text):
        return Requirement(match[1], "notin" if match[2] == "!=" else "in", frozenset((match[3],)))
    if match := _EXISTS.fullmatch(text):
        return Requirement(match[2], "absent" if match[1] else "exists")
    return None
