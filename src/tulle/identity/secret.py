"""Holds a private key or a token so that printing it shows nothing.

Secrets leak through logs, tracebacks, debug bundles and pickles of objects that happen to hold them. Reading one takes
a call of `reveal`, which can be searched for.
"""

import hmac
from typing import NoReturn


class Secret:
    """Bytes that no repr, str, format, pickle or JSON shows. Equality takes the same time wherever values differ."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(redacted)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
