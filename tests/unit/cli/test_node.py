"""`tulle node`, against the real API on a real socket."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.fakes.told_backend import ToldBackend
from typer.testing import Result

from tulle.api.backend import NodeState

Run = Callable[..., Result]


@pytest.fixture
def two(backend: ToldBackend) -> ToldBackend:
    backend.known_nodes = (
        NodeState("a", True, 2, 1, "2026-01-02T03:04:05Z", ("shop/*", "bank/teller"), 12),
        NodeState("b", False, 0, 0),
    )
    return backend


def test_the_list(two: ToldBackend, run: Run) -> None:
    lines = [line.split() for line in run("node", "list").stdout.splitlines()]
    assert lines == [
        ["NAME", "STATE", "WORKLOADS", "PROXIES", "CERTIFICATE-EXPIRES", "LIFE-USED"],
        ["a", "Connected", "2", "1", "2026-01-02T03:04:05Z", "12%"],
        ["b", "Disconnected", "0", "0", "-", "-"],
    ]
    wide = [line.split()[-1] for line in run("node", "list", "-o", "wide").stdout.splitlines()]
    assert wide == ["SERVICE-ACCOUNTS", "shop/*,bank/teller", "-"]
    assert run("node", "list", "-o", "name").stdout == "node/a\nnode/b\n"
    items = json.loads(run("node", "list", "-o", "json").stdout)["items"]
    assert items[0]["serviceAccounts"] == ["shop/*", "bank/teller"]
    assert yaml.safe_load(run("node", "list", "-o", "yaml").stdout)["items"] == items


def test_an_empty_list(backend: ToldBackend, run: Run) -> None:
    empty = run("node", "list")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "no nodes\n")


def test_a_node_is_removed(two: ToldBackend, run: Run) -> None:
    two.apps_left = ("shop/web",)
    removed = run("node", "remove", "a")
    assert (removed.exit_code, removed.stdout) == (0, "node/a removed (2 workloads, 2 connections)\n")
    assert removed.stderr == "still to run on a, and now nowhere: app shop/web\n"
    assert run("node", "list", "-o", "name").stdout == "node/b\n"


def test_what_became_of_it_for_programs(two: ToldBackend, run: Run) -> None:
    document = json.loads(run("node", "remove", "a", "-o", "json").stdout)
    assert document == {"items": [{"name": "a", "workloads": 2, "streams": 2, "apps": []}]}
    assert run("node", "remove", "b", "-o", "name").stdout == "node/b\n"


def test_a_node_that_does_not_exist(two: ToldBackend, run: Run) -> None:
    failed = run("node", "remove", "b", "nobody")
    assert (failed.exit_code, failed.stderr) == (1, "error: node/nobody does not exist\n")
    assert failed.stdout == "node/b removed (0 workloads, 1 connection)\n"
    assert run("node", "remove", "nobody", "--ignore-not-found").exit_code == 0


@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "a?dryRun=All", "\x1b[31m", "x" * 5000, "A"])
def test_a_name_that_no_node_has_is_not_sent(two: ToldBackend, run: Run, name: str) -> None:
    failed = run("node", "remove", name)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: node/") and failed.stderr.endswith(" does not exist\n")
    assert "\x1b" not in failed.stderr and len(failed.stderr) < 200
    assert len(two.known_nodes) == 2


def test_wrong_arguments_and_no_control_plane(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path / "nowhere"))
    assert run("node", "remove").exit_code == 2
    assert run("node", "list", "-o", "xml").exit_code == 2
    assert run("node", "list").exit_code == run("node", "remove", "a").exit_code == 3
