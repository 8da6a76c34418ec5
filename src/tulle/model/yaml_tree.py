"""Reads YAML into trees, with the line of every value, and finds what YAML itself has against a text.

Documents are read apart, so that a mistake in one does not hide those of the next. Plain words mean what they mean in
YAML 1.2 (`yes` is text, `010` is text); custom tags and merge keys are refused; size, depth and what aliases repeat
are limited, because a text may come from anybody.
"""

import math
import re
from collections.abc import Iterator, Mapping

import yaml
from msgspec import Struct

from tulle.model.problem import Problem
from tulle.model.tree import Tree, below

MAX_CHARACTERS = 32 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASED = 10_000
"""How many values the aliases of one document may repeat."""

_CORE = "tag:yaml.org,2002:"
_RESOLVED_TAGS = {_CORE + name for name in ("null", "bool", "int", "float")}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class Document(Struct, frozen=True):
    """`lines` (1-based) and `texts` are by path; `texts` has what is not text as it was written (`1.10`)."""

    value: Tree
    line: int
    lines: Mapping[str, int]
    texts: Mapping[str, str]
    problems: tuple[Problem, ...]

    def line_of(self, path: str) -> int:
        """The line of what is at `path`, or of the nearest thing around it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line


def read_yaml(text: str) -> tuple[Document, ...]:
    """The documents of a text, in order, without empty ones. Never raises; problems have lines but no file."""
    if len(text) > MAX_CHARACTERS:
        problem = Problem("", f"the text has more than {MAX_CHARACTERS} characters", "split it into several files")
        return (_failed(problem, 1),)
    return tuple(document for line, part in _parts(text) for document in _documents(part, line))


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The text cut before each `---`, with the number of lines before the part."""
    start = line = 0
    for separator in _SEPARATOR.finditer(text):
        if separator.start() > start:
            yield line, text[start : separator.start()]
            line += text.count("\n", start, separator.start())
            start = separator.start()
    yield line, text[start:]


def _documents(text: str, line: int) -> Iterator[Document]:
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                reader = _Reader(events, line)
                document = reader.document()
                if document.value is not None or document.problems:
                    yield document
                if reader.abandoned:
                    # To read over the rest would take the parser minutes, if it is brackets in brackets.
                    return
    except yaml.YAMLError as error:
        problem = _syntax_problem(error, line)
        yield _failed(problem, problem.line)
    except UnicodeError:
        yield _failed(Problem("", "the text has characters that are not Unicode", "save it as UTF-8"), line + 1)


def _failed(problem: Problem, line: int) -> Document:
    return Document(None, line, {}, {}, (problem,))


def _syntax_problem(error: yaml.YAMLError, before: int) -> Problem:
    """What the parser has against a text; `before` is the number of lines before that text."""
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    hint = "indent with spaces, not tabs" if "tab character" in what or "cannot start any token" in what else ""
    if mark and context and context.line < mark.line and not hint:
        hint = f"what is not right here starts in line {before + 1 + context.line}"
    return Problem("", f"this is not YAML: {what}", hint, line=before + 1 + (mark.line if mark else 0))


class _Abandoned(Exception):
    """The document cannot be read on; the problem is among its problems."""


class _Reader:
    """Turns the events of one document into its tree. `abandoned`: it stopped before the document's end."""

    def __init__(self, events: Iterator[yaml.Event], line: int) -> None:
        self._events = events
        self._before = line
        self._lines: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._problems: list[Problem] = []
        self._anchors: dict[str, tuple[Tree, int] | None] = {}
        self.abandoned = False
        self._size = 0
        self._aliased = 0

    def document(self) -> Document:
        """Reads up to the document's end, or as far as the document is YAML."""
        first = next(self._events)
        line = self._line(first)
        value: Tree = None
        try:
            value = self._value(first, "", 0)
        except _Abandoned:
            self.abandoned = True
        except yaml.YAMLError as error:
            self._problems.append(_syntax_problem(error, self._before))
        return Document(value, line, self._lines, self._texts, tuple(self._problems))

    def _line(self, event: yaml.Event) -> int:
        return self._before + 1 + (event.start_mark.line if event.start_mark else 0)

    def _report(self, event: yaml.Event, path: str, message: str, hint: str = "") -> None:
        self._problems.append(Problem(path, message, hint, line=self._line(event)))

    def _abandon(self, event: yaml.Event, path: str, message: str, hint: str = "") -> _Abandoned:
        self._report(event, path, message, hint)
        return _Abandoned()

    def _value(self, event: yaml.Event, path: str, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self._abandon(event, "", f"values are nested more than {MAX_DEPTH} deep")
        self._size += 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        anchor: str | None = event.anchor if isinstance(event, yaml.NodeEvent) else None
        if anchor:
            self._anchors[anchor] = None
        before = self._size
        value = self._untagged(event, path, depth)
        if anchor:
            self._anchors[anchor] = value, self._size - before + 1
        return value

    def _untagged(self, event: yaml.Event, path: str, depth: int) -> Tree:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!", _CORE + "map", _CORE + "seq"):
            self._report(event, path, f"the tag {event.tag} is not accepted", "remove it")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _alias(self, event: yaml.AliasEvent, path: str) -> Tree:
        """The value itself, not a copy: what counts is how large a copy would be."""
        anchor = event.anchor or ""
        known = self._anchors.get(anchor)
        if known is None:
            what = "refers to what it is part of" if anchor in self._anchors else "refers to nothing before it"
            raise self._abandon(event, path, f"the alias *{anchor} {what}")
        value, size = known
        self._size += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise self._abandon(event, path, f"aliases repeat more than {MAX_ALIASED} values", "write the values out")
        return value

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Tree:
        text = str(event.value)
        plain = event.implicit[0]
        if not plain and event.tag not in (None, "!", _CORE + "str", *_RESOLVED_TAGS):
            self._report(event, path, f"the tag {event.tag} is not accepted", "remove it")
        if not plain and event.tag not in _RESOLVED_TAGS:
            return text
        value = _resolve(text)
        if value is not None and not isinstance(value, str):
            self._texts[path] = text
        return value

    def _sequence(self, path: str, depth: int) -> Tree:
        entries: list[Tree] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            entry = below(path, len(entries))
            self._lines[entry] = self._line(event)
            entries.append(self._value(event, entry, depth + 1))
        return entries

    def _mapping(self, path: str, depth: int) -> Tree:
        entries: dict[str, Tree] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            entry = below(path, key)
            if key in entries:
                self._report(event, entry, f"`{key}` is there twice, first in line {self._lines[entry]}", "keep one")
                self._value(next(self._events), entry, depth + 1)
                continue
            self._lines[entry] = self._line(event)
            entries[key] = self._value(next(self._events), entry, depth + 1)
        return entries

    def _key(self, event: yaml.Event, path: str) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._abandon(event, path, "a key must be text", "a value in braces has to be in quotes")
        if event.value == "<<" and event.implicit[0]:
            raise self._abandon(event, path, "merge keys (<<) are not accepted", "write the fields out")
        return str(event.value)


def _resolve(text: str) -> bool | int | float | str | None:
    """What a plain word means."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
