"""Trees: what a document holds before it has a type, and the texts that name places in one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Tree: TypeAlias = "bool | int | float | str | Sequence[Tree] | Mapping[str, Tree] | None"

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def below(path: str, key: str | int) -> str:
    """The path of an entry: `spec.ports[0].name`, and `metadata.labels["a/b"]` for a key that is no plain word."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def path_of(keys: Iterable[str | int]) -> str:
    """The path that leads through `keys` from the root, which is ""."""
    path = ""
    for key in keys:
        path = below(path, key)
    return path
