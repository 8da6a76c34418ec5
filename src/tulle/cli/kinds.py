"""Finds the kinds and objects that a person names: `service`, `svc`, `httproutes,apps`, `service/web`."""

from collections.abc import Sequence
from difflib import get_close_matches

from msgspec import Struct

from tulle.cli.errors import Failure
from tulle.model.kinds import KINDS, Kind, find_kind

ALL = "all"
_NAMESPACED = tuple(kind for kind in KINDS if kind.namespaced)


class Target(Struct, frozen=True):
    """Objects of one kind: one by name, or all where `name` is empty."""

    kind: Kind
    name: str = ""


def kind_meant(text: str) -> Kind:
    """Raises Failure where there is no such kind."""
    kind = find_kind(text)
    if kind is None:
        near = get_close_matches(text.lower(), [k.plural for k in KINDS], n=1)
        hint = f"did you mean {near[0]}?" if near else "`tulle schema` lists the kinds"
        raise Failure(f"there is no kind '{text}'", hint)
    return kind


def targets(words: Sequence[str]) -> tuple[Target, ...]:
    """What `KIND[,KIND] [NAME...]` or `KIND/NAME...` mean; `all` is every kind that lives in a namespace. Raises
    Failure."""
    if any("/" in word for word in words):
        return tuple(_slashed(word) for word in words)
    kinds, names = words[0], words[1:]
    found = _NAMESPACED if kinds.lower() == ALL else tuple(kind_meant(kind) for kind in kinds.split(","))
    if not names:
        return tuple(Target(kind) for kind in found)
    return tuple(Target(kind, name) for kind in found for name in names)


def _slashed(word: str) -> Target:
    kind, slash, name = word.partition("/")
    if not slash or not name or "/" in name:
        raise Failure(f"'{word}' is no KIND/NAME", "write either KIND NAME... or KIND/NAME...")
    return Target(kind_meant(kind), name)
