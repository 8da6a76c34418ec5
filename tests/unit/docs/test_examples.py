"""What the documentation shows is true: its resources are valid, its commands exist with these options."""

import configparser
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from tests.unit.docs.pages import ROOT, Block, blocks, documents, label, steps, tulle_commands
from typer.main import get_command

from tulle.cli.app import app
from tulle.model.parse import parse_yaml
from tulle.model.unserved import unserved

DOCUMENTS = documents()
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))

_INLINE = re.compile(r"(?<!`)`tulle ([a-z][^`\n]*)`(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)|(?:src|href)=\"(?!https?:)([^\"]+)\"")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def examples(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{label(page)}:{block.line}") for page in DOCUMENTS for block in blocks(page, language)
    ]


def contexts(arguments: tuple[str, ...]) -> typer.Context:
    """Parses a command line as the program does, without running it. Raises click's errors."""
    context = get_command(app).make_context("tulle", list(arguments))
    while True:
        rest = [*context._protected_args, *context.args]
        resolve = getattr(context.command, "resolve_command", None)
        if resolve is None:
            return context
        name, command, left = resolve(context, rest)
        assert command is not None
        context = command.make_context(name, left, parent=context)


@pytest.mark.parametrize("block", examples("yaml"))
def test_resources_are_valid_and_served(block: Block) -> None:
    parsed, problems = parse_yaml(block.text, "page", "shop")
    assert problems == ()
    assert parsed, "no resource in this block"
    assert [problem for each in parsed for problem in unserved(each.resource)] == []


@pytest.mark.parametrize("block", examples("console"))
def test_commands_exist_with_these_options(block: Block) -> None:
    found = steps(block.text)
    assert found, "no command in this block"
    for step in found:
        for arguments in tulle_commands(step.command):
            contexts(arguments)


@pytest.mark.parametrize("block", examples("sh"))
def test_commands_to_paste_exist_with_these_options(block: Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        for arguments in tulle_commands(line):
            contexts(arguments)


@pytest.mark.parametrize("page", DOCUMENTS, ids=label)
def test_commands_that_are_mentioned_exist(page: Path) -> None:
    for mention in _INLINE.findall(page.read_text()):
        words = shlex.split(mention.partition(" -- ")[0])
        context = get_command(app).make_context("tulle", [words[0], "--help"], resilient_parsing=True)
        command = context.command.get_command(context, words[0])  # type: ignore[attr-defined]
        assert command is not None, mention
        own = command.make_context(words[0], [], parent=context, resilient_parsing=True).command
        for word in words[1:]:
            if hasattr(own, "commands") and word in own.commands:
                own = own.commands[word]
        known = {option for parameter in own.params for option in parameter.opts} | {"-h", "--help"}
        options = {word.partition("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
        assert options <= known, mention


@pytest.mark.parametrize("page", DOCUMENTS, ids=label)
def test_links_lead_somewhere(page: Path) -> None:
    for groups in _LINK.findall(_CODE.sub("", page.read_text())):
        target, _, anchor = unquote(groups[0] or groups[1]).partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} is missing"
        if anchor:
            assert anchor in {_anchor(heading) for heading in _HEADING.findall(path.read_text())}, anchor


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    line = parser["Service"]["ExecStart"].replace("\\\n", " ")
    commands = list(tulle_commands(line))
    assert len(commands) == 1
    contexts(commands[0])


def _anchor(heading: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
