"""Reads label selectors as kubectl spells them: `app=web,version!=v1,beta,!old`."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tulle.cli.errors import Failure

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")


class Requirement(Struct, frozen=True):
    """One condition. `value` is empty for `exists` and `absent`."""

    key: str
    test: Literal["equal", "unequal", "exists", "absent"]
    value: str = ""

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.test:
            case "equal":
                return labels.get(self.key) == self.value
            case "unequal":
                return labels.get(self.key) != self.value
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


Selector = tuple[Requirement, ...]


def parse_selector(text: str) -> Selector:
    """The conditions in `text`, all of which must hold. Empty text selects everything. Raises Failure."""
    return tuple(_requirement(part.strip()) for part in text.split(",")) if text.strip() else ()


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(requirement.holds(labels) for requirement in selector)


def _requirement(text: str) -> Requirement:
    for operator in ("!=", "==", "="):
        key, found, value = text.partition(operator)
        if found:
            test: Literal["equal", "unequal"] = "unequal" if operator == "!=" else "equal"
            return Requirement(_word(key, text), test, _word(value, text) if value.strip() else "")
    if text.startswith("!"):
        return Requirement(_word(text[1:], text), "absent")
    return Requirement(_word(text, text), "exists")


def _word(word: str, text: str) -> str:
    word = word.strip()
    if not word or not NAME_CHARACTERS.issuperset(word):
        raise Failure(f"the selector '{text}' is not understood", "write key=value, key!=value, key or !key")
    return word
