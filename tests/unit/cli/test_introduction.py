"""Who starts a mesh is told what it offers."""

import sys
from pathlib import Path

import pytest

from tulle.cli.introduction import service_rows, to_try
from tulle.model.kinds import Resource
from tulle.model.parse import parse_yaml
from tulle.model.snapshot import build

MESH = """\
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  ports: [{name: web, port: 8080, appProtocol: http}, {name: raw, port: 9000}]
---
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {name: web, namespace: shop}
spec: {command: [web]}
"""

SUGGESTING = """\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  annotations:
    tulle.dev/try: |
      tulle exec -n shop web -- curl -s http://catalog:8080/items

      echo GET tulle | tulle exec -n shop web -- nc stock 9000
"""


def resources(text: str) -> tuple[Resource, ...]:
    parsed, problems = parse_yaml(text, "mesh.yaml")
    assert not problems
    return tuple(each.resource for each in parsed)


@pytest.fixture
def on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tulle` is found by its name, and is this program."""
    program = tmp_path / "bin" / "tulle"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "up"])
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.chdir(tmp_path)
    return program


def test_each_port_of_a_service_is_shown_with_how_to_call_it() -> None:
    snapshot = build(resources(MESH))
    (http, tcp) = service_rows(snapshot)
    assert (http[0], http[1], http[2], http[4], http[5]) == ("shop", "catalog", "8080/http", "0", "http://catalog:8080")
    assert (tcp[2], tcp[5]) == ("9000/tcp", "catalog:9000")
    assert http[3] == tcp[3] != ""


def test_what_the_files_suggest_is_shown_line_by_line(on_the_path: Path) -> None:
    declared = resources(SUGGESTING + "---\n" + MESH)
    assert to_try(declared, build(declared)) == [
        "tulle exec -n shop web -- curl -s http://catalog:8080/items",
        "echo GET tulle | tulle exec -n shop web -- nc stock 9000",
    ]


def test_without_a_suggestion_an_app_calls_a_service(on_the_path: Path) -> None:
    declared = resources(MESH)
    assert to_try(declared, build(declared)) == ["tulle exec -n shop web -- curl -s http://catalog.shop:8080/"]


def test_without_an_app_nobody_can_call(on_the_path: Path) -> None:
    declared = resources(MESH)[:1]
    assert to_try(declared, build(declared)) == []


def test_a_program_that_is_not_on_the_path_is_named_by_its_own(
    on_the_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    declared = resources(SUGGESTING)
    assert to_try(declared, build(declared)) == [
        "bin/tulle exec -n shop web -- curl -s http://catalog:8080/items",
        "echo GET tulle | bin/tulle exec -n shop web -- nc stock 9000",
    ]
