"""Finds and reads what `-f` names: files, directories with all below them, standard input."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tulle.cli.errors import Failure

SUFFIXES = (".yaml", ".yml")
STDIN = "-"
STDIN_NAME = "<stdin>"


class SourceFile(Struct, frozen=True):
    """A file's text. `name` is what problems are reported under."""

    name: str
    text: str


def read_files(names: Sequence[str]) -> tuple[SourceFile, ...]:
    """All files that `names` name, each once, in order. Raises Failure where one cannot be read."""
    return tuple(_read(name) for name in dict.fromkeys(path for name in names for path in _expand(name)))


def _expand(name: str) -> Iterator[str]:
    path = Path(name)
    if name == STDIN or not path.is_dir():
        yield name
        return
    found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file() and not _hidden(p, path))
    if not found:
        raise Failure(f"{name}: there is no file *.yaml or *.yml in it")
    yield from map(str, found)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _read(name: str) -> SourceFile:
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error
    try:
        return SourceFile(STDIN_NAME if name == STDIN else name, data.decode())
    except UnicodeDecodeError as error:
        raise Failure(f"{name}: is not UTF-8 (byte {error.start})") from error
