"""Reads what the documentation shows: its pages, their resources and their console sessions.

In a page, a ```yaml block is a file of complete resources; its first line may name it (`# routes.yaml`). A ```console
block is a session: `$ ` starts a command, `> ` continues it, everything else is what it prints. In what is printed,
`...` stands for anything: alone in a line for any number of lines, else for the rest of a word or line.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guide"

RUN_BY_CI = "CI runs the commands of this page"
"""A page that says so is run by tests/e2e/test_guide.py."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE_NAME = re.compile(r"# ([\w.-]+\.yaml)\n")
_SEPARATORS = frozenset("|;&()<>")
_BEFORE_PROGRAM = re.compile(r"sudo|\w+=.*")


class Block(Struct, frozen=True):
    """A fenced block; `line` is the line of its fence, from 1."""

    language: str
    text: str
    line: int

    @property
    def file_name(self) -> str:
        found = _FILE_NAME.match(self.text)
        return found[1] if found else ""


class Step(Struct, frozen=True):
    """A command as it is typed, and what the page says it prints."""

    command: str
    output: str


def documents() -> tuple[Path, ...]:
    """All Markdown files of the repository that people read."""
    found = (ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"), ROOT.glob("examples/**/*.md"), ROOT.glob("deploy/**/*.md"))
    return tuple(sorted(path for paths in found for path in paths))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> tuple[Block, ...]:
    text = page.read_text()
    return tuple(
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in _BLOCK.finditer(text)
        if match[1] == language
    )


def steps(session: str) -> tuple[Step, ...]:
    found: list[Step] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], ""))
        elif line.startswith("> ") and found and not found[-1].output:
            found[-1] = Step(f"{found[-1].command}\n{line[2:]}", "")
        elif found:
            found[-1] = Step(found[-1].command, f"{found[-1].output}{line}\n")
    return tuple(found)


def tulle_commands(shell: str) -> Iterator[tuple[str, ...]]:
    """The arguments of each `tulle` in a command of a shell; what a here-document holds is none."""
    first_line = shell.partition("\n")[0]
    lexer = shlex.shlex(first_line if "<<" in first_line else shell, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in (*lexer, ";"):
        if set(token) <= _SEPARATORS:
            yield from _tulle(words)
            words = []
        else:
            words.append(token)


def _tulle(words: list[str]) -> Iterator[tuple[str, ...]]:
    while words and _BEFORE_PROGRAM.fullmatch(words[0]):
        words = words[1:]
    if words and words[0] in ("tulle", "/opt/tulle/bin/tulle"):
        yield tuple(words[1:])


def fits(expected: str, printed: str) -> bool:
    """Whether a command printed what its page says. Widths of columns and blank lines at the ends do not matter."""
    lines = [_narrow(line) for line in expected.strip("\n").splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else f"{_line_pattern(line)}\n" for line in lines)
    text = "\n".join(_narrow(line) for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, f"{text}\n" if text else "") is not None


def _line_pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("...")))


def _narrow(line: str) -> str:
    return re.sub(r"[ \t]+", " ", line.replace("\r", "")).rstrip()
