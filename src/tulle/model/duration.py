"""Durations as the Gateway API writes them: `10s`, `1h30m`, `500ms`.

Source: GEP-2257. One to four numbers of up to five digits, each with its unit: h, m, s or ms.
"""

import re
from datetime import timedelta

SCHEMA = {
    "type": "string",
    "pattern": r"^(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}$(?!\n)",
    "description": "a duration such as 10s, 1h30m or 500ms",
}

_PART = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_WHOLE = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}", re.ASCII)
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


class Duration(timedelta):
    """A timedelta of whole milliseconds, not negative; as text it is `10s`."""

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Raises ValueError where `text` is not a duration."""
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{text!r} is not a duration such as 10s, 1h30m or 500ms")
        parts = _PART.findall(text)
        return cls(milliseconds=sum(int(number) * _MILLISECONDS[unit] for number, unit in parts))

    def __str__(self) -> str:
        """The shortest text in canonical units, largest first: `1h30m`, and `0s` for nothing."""
        left = self // timedelta(milliseconds=1)
        parts = []
        for unit, size in _MILLISECONDS.items():
            limit = 99_999 if unit == "h" else left // size
            count = min(left // size, limit)
            left -= count * size
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts) or "0s"

    def __repr__(self) -> str:
        return f"Duration({str(self)!r})"
