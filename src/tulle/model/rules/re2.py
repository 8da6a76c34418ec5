"""Tells whether a regular expression is one that RE2 compiles, which is what proxies match with.

A recogniser of RE2's syntax without its rarest parts (`\\C`, `\\Q`, scripts), so that what passes here does not make a
proxy refuse the configuration that it is part of. Source: the syntax page of RE2.
"""

import re

MAX_LENGTH = 1024
MAX_DEPTH = 50
MAX_REPEAT = 1000
MAX_SIZE = 5000
"""Of the compiled program in instructions, estimated from above. Proxies are started with this limit."""

_REPEAT = re.compile(r"\{([0-9]{1,9})(?:(,)([0-9]{0,9}))?\}")
_GROUP = re.compile(r"\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_FLAGS = re.compile(r"\?(?!-?[:)])([imsU]*(?:-[imsU]+)?)([:)])|\?:")
_UNICODE = re.compile(r"\^?(?:L[ultmo]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|C[cf]?)")
_POSIX = re.compile(r"\[:\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]")
_HEX = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_LAST_CHARACTER = 0xFF
"""Proxies match bytes, not characters of Unicode."""


class _Refused(Exception):
    """The expression is not accepted; the text says why."""


def refusal(expression: str) -> str:
    """Why the expression is not accepted, as the end of a sentence about it; "" where it is."""
    if len(expression) > MAX_LENGTH:
        return f"has more than {MAX_LENGTH} characters"
    if not expression.isascii():
        return "has characters outside ASCII, which requests only have percent-encoded"
    try:
        _Parser(expression).whole()
    except _Refused as reason:
        return str(reason)
    return ""


class _Parser:
    """Recursive descent; every method returns the size of what it has read, and the largest repetition inside."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._names: set[str] = set()

    def _next(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    def whole(self) -> None:
        size, _ = self._alternatives(0)
        if self._next() == ")":
            raise _Refused(f"has a ')' without '(' at character {self._at + 1}")
        if size > MAX_SIZE:
            raise _Refused("repeats too much")

    def _alternatives(self, depth: int) -> tuple[int, int]:
        if depth > MAX_DEPTH:
            raise _Refused(f"has more than {MAX_DEPTH} parentheses inside each other")
        size = repeat = 1
        while self._next() not in ("", ")"):
            if self._next() == "|":
                self._at += 1
                continue
            part, inside = self._repeated(depth)
            size, repeat = size + part, max(repeat, inside)
        return size, repeat

    def _repeated(self, depth: int) -> tuple[int, int]:
        if self._next() in ("*", "+", "?") or _REPEAT.match(self._text, self._at):
            raise _Refused(f"has nothing to repeat before '{self._next()}' at character {self._at + 1}")
        is_operand, size, inside = self._atom(depth)
        times = self._times()
        if times is None:
            return size, inside
        if not is_operand:
            raise _Refused(f"has nothing to repeat at character {self._at}")
        if inside * times > MAX_REPEAT:
            raise _Refused(f"repeats something more than {MAX_REPEAT} times")
        before = self._at
        if self._times() is not None:
            raise _Refused(f"repeats a repetition at character {before + 1}, which RE2 does not know")
        return (size + 1) * max(times, 1), inside * max(times, 1)

    def _times(self) -> int | None:
        """How often at most, as far as that makes the program larger; None where nothing is repeated."""
        if self._next() in ("*", "+", "?") and self._next():
            self._at += 1
            times = 1
        elif found := self._match(_REPEAT):
            least, comma, most = int(found[1]), found[2], found[3]
            times = int(most) if most else least
            if times < least or max(times, least) > MAX_REPEAT:
                raise _Refused(
                    f"has the repetition {found[0]}; the limit is {MAX_REPEAT}, and the smaller one is first"
                )
            times += 1 if comma and not most else 0
            times = min(times, MAX_REPEAT)
        else:
            return None
        if self._next() == "?":
            self._at += 1
        return times

    def _atom(self, depth: int) -> tuple[bool, int, int]:
        """Whether it can be repeated, its size, and the largest repetition inside."""
        char = self._next()
        self._at += 1
        if char == "(":
            return self._group(depth)
        if char == "[":
            return True, self._class(), 1
        if char == "\\":
            return True, self._escape(in_class=False)[1], 1
        return True, 2, 1

    def _group(self, depth: int) -> tuple[bool, int, int]:
        start = self._at
        if named := self._match(_GROUP):
            if named[1] in self._names:
                raise _Refused(f"names two groups {named[1]}")
            self._names.add(named[1])
        elif flags := self._match(_FLAGS):
            if flags[2] == ")":
                return False, 0, 1
        elif self._next() == "?":
            what = self._next(3).rstrip()
            raise _Refused(f"has '({what}' at character {start}; RE2 knows no look-around, conditions or atomic groups")
        size, inside = self._alternatives(depth + 1)
        if self._next() != ")":
            raise _Refused(f"has a '(' without ')' at character {start}")
        self._at += 1
        return True, size + 2, inside

    def _class(self) -> int:
        start, size, first = self._at, 3, True
        if self._next() == "^":
            self._at += 1
        while first or self._next() != "]":
            if not self._next():
                raise _Refused(f"has a '[' without ']' at character {start}")
            first = False
            if self._match(_POSIX):
                size += 6
                continue
            low, part = self._class_character()
            size += part
            if self._next() == "-" and self._next(2) not in ("-]", "-") and low is not None:
                self._at += 1
                high, _ = self._class_character()
                if high is None or high < low:
                    raise _Refused(f"has a range whose ends are not in order at character {self._at}")
        self._at += 1
        return size

    def _class_character(self) -> tuple[int | None, int]:
        """The character, or None for a class such as `\\d`; and its size."""
        char = self._next()
        if not char:
            raise _Refused("ends inside '['")
        if self._next(2) == "[:":
            raise _Refused(f"has an unknown class at character {self._at + 1}")
        self._at += 1
        return self._escape(in_class=True) if char == "\\" else (ord(char), 2)

    def _escape(self, in_class: bool) -> tuple[int | None, int]:
        char = self._next()
        if not char:
            raise _Refused("ends with '\\'")
        if found := self._match(_HEX):
            code = int(found[1] or found[2], 16)
            if code > _LAST_CHARACTER:
                raise _Refused(f"has the character \\{found[0]}, which is no byte")
            return code, 2
        self._at += 1
        if char in "pP":
            return self._unicode_class()
        if char in "dDsSwW":
            return None, 6
        if char in "afnrtv":
            return ord(f"{chr(7)}\f\n\r\t\v"["afnrtv".index(char)]), 2
        if char in "bBAz" and not in_class:
            return None, 1
        if not char.isalnum():
            return ord(char), 2
        if char in "123456789":
            raise _Refused(f"refers back to group \\{char}, which RE2 cannot")
        raise _Refused(f"has \\{char} at character {self._at - 1}, which is not accepted")

    def _unicode_class(self) -> tuple[int | None, int]:
        braced = self._next() == "{"
        self._at += 1 if braced else 0
        start = self._at
        found = self._match(_UNICODE)
        if found is None or (braced and self._next() != "}") or (not braced and "^" in found[0]):
            raise _Refused(f"has an unknown class of characters at character {start + 1}")
        self._at = self._at + 1 if braced else start + 1
        return None, 20
