"""The program itself: it starts fast, and every command has help with examples."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer import rich_utils
from typer.testing import CliRunner

from tulle.cli.app import app
from tulle.cli.registry import ENTRIES

HEAVY = ("fastapi", "httpx", "google.protobuf", "grpc", "jsonschema", "cryptography")


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_nothing_heavy() -> None:
    loaded = modules_after("import tulle.cli.app")
    assert not loaded.intersection(HEAVY)
    assert not any(name.startswith(("tulle.view", "tulle.xds", "tulle.api")) for name in loaded)


def test_commands_that_ask_wait_for_no_web_framework() -> None:
    loaded = modules_after("import tulle.cli.get, tulle.cli.status, tulle.cli.apply")
    assert not loaded.intersection({"fastapi", "google.protobuf", "grpc", "cryptography"})


def test_help_lists_all_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for entry in ENTRIES:
        assert entry.name in result.stdout
        assert entry.summary in result.stdout
    assert "Exit codes" in result.stdout


def test_a_mistyped_command_is_recognised() -> None:
    result = CliRunner().invoke(app, ["statsu"])
    assert result.exit_code == 2
    assert "Did you mean 'status'" in result.stderr


def test_the_version_is_where_other_programs_have_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == CliRunner().invoke(app, ["version"]).stdout


@pytest.mark.parametrize("command", ["schema", "schema app", "completion bash"])
def test_a_full_disk_is_said_in_one_line(command: str) -> None:
    program = f"import sys; from tulle.cli import main; sys.argv[1:] = {command.split()!r}; main()"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"tulle {name}" in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", [*(entry.name for entry in ENTRIES), "token create"])
def test_help_fills_a_terminal_and_breaks_no_example(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", columns)
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    description = [line.removeprefix(" ").rstrip() for line in result.stdout.partition("\u256d")[0].splitlines()]
    assert all(line.isprintable() for line in description)
    prose, _, examples = "\n".join(description).partition("Examples:\n")
    for line, following in pairwise(prose.splitlines()):
        if line and following:
            assert len(f"{line} {following.split()[0]}") > columns - 2, f"{line!r} breaks early"
    for line in examples.rstrip().splitlines():
        assert line.startswith("  "), f"{line!r} is the rest of another line"
