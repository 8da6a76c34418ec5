"""The commands as their users run them, against a running shop: what they print, and how they end."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.live import ORDINARY, ROOT, SHOP, Installation, installation, until

pytestmark = pytest.mark.e2e

SEVEN_MISTAKES = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selectr: {app: web}
  ports:
    - {name: http, port: 80800}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs:
    - {group: "", kind: Service, name: web}
  rules:
    - timeouts: {request: soon}
      backendRefs: [{name: web, port: 8080, weight: -1}]
---
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {name: Web, namespace: shop}
spec: {command: [python], replicas: many}
---
apiVersion: v1
kind: Servce
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata: {name: sound, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
"""
PLACES = (
    (5, "Service/shop/web: spec.selectr", "did you mean `selector`?"),
    (7, "Service/shop/web: spec.ports[0].port", ""),
    (16, "HTTPRoute/shop/web: spec.rules[0].timeouts.request", ""),
    (17, "HTTPRoute/shop/web: spec.rules[0].backendRefs[0].weight", ""),
    (21, "App/shop/Web: metadata.name", "write web"),
    (22, "App/shop/Web: spec.replicas", ""),
    (25, "Servce/web: kind", "did you mean `Service`?"),
)
COMMANDS = (
    "up", "server", "agent", "run", "exec", "apply", "delete", "get", "describe", "status", "check", "render", "schema",
    "token create", "completion", "version",
)  # fmt: skip
EXTRA = "{apiVersion: v1, kind: Service, metadata: {name: extra, namespace: shop}, spec: {ports: [{port: %d}]}}"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Installation]:
    with installation(ROOT if os.geteuid() == 0 else ORDINARY) as made:
        made.up("-f", str(SHOP), "--mode", "node")
        yield made


def names(text: str) -> list[str]:
    """The first column of a table."""
    return [line.split()[0] for line in text.splitlines()[1:] if line]


# What is wrong with files


@pytest.mark.parametrize("command", ["check", "apply"])
def test_all_mistakes_of_a_file_are_told_at_once(mesh: Installation, command: str) -> None:
    file = mesh.write("mistakes.yaml", SEVEN_MISTAKES)
    done = mesh.tulle(command, "-f", file)
    lines = done.stderr.splitlines()
    for number, where, hint in PLACES:
        (index,) = (i for i, line in enumerate(lines) if line.startswith(f"{file}:{number}: {where}: "))
        assert not hint or lines[index + 1] == f"    hint: {hint}"
    assert done.returncode == 1
    assert mesh.tulle("get", "service", "sound", "-n", "shop").returncode == 1, "nothing of the file may be stored"


def test_the_shop_has_no_problem(mesh: Installation) -> None:
    assert mesh.ok("check", "-f", str(SHOP)).endswith("no problem\n")


# Reading


def test_get_prints_a_table(mesh: Installation) -> None:
    printed = mesh.ok("get", "services", "-n", "shop")
    assert names(printed) == ["catalog", "catalog-v1", "catalog-v2", "pricing", "reviews", "stock", "web"]
    assert printed.splitlines()[0].split() == ["NAME", "PORTS", "SELECTOR", "STATUS", "AGE"]
    assert "\x1b" not in printed


def test_get_of_all_namespaces_says_which(mesh: Installation) -> None:
    assert set(names(mesh.ok("get", "svc", "-A"))) == {"shop"}


def test_get_by_label(mesh: Installation) -> None:
    assert mesh.ok("get", "workloads", "-n", "shop", "-l", "version=v2", "-o", "name").startswith(
        "workload/catalog-v2-"
    )


def test_get_prints_more_when_asked(mesh: Installation) -> None:
    narrow, wide = (mesh.ok("get", "apps", "-n", "shop", *more).splitlines()[0] for more in ((), ("-o", "wide")))
    assert set(narrow.split()) < set(wide.split())


def test_get_prints_one_object_or_a_list(mesh: Installation) -> None:
    one = json.loads(mesh.ok("get", "httproute", "catalog", "-n", "shop", "-o", "json"))
    assert (one["kind"], one["metadata"]["name"]) == ("HTTPRoute", "catalog")
    listed = yaml.safe_load(mesh.ok("get", "httproutes", "-n", "shop", "-o", "yaml"))
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == ("List", ["catalog"])


def test_what_get_prints_can_be_applied_again(mesh: Installation) -> None:
    printed = mesh.ok("get", "httproute", "catalog", "-n", "shop", "-o", "yaml")
    assert mesh.ok("apply", "-f", "-", stdin=printed) == "httproute/catalog unchanged\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("get", "nosuch"), 1, "there is no kind 'nosuch'"),
        (("get", "service", "nobody", "-n", "shop"), 1, "Service/shop/nobody does not exist"),
        (("get", "services", "-n", "elsewhere"), 0, "no resources in namespace elsewhere"),
        (("get",), 2, "Missing argument"),
        (("nosuch",), 2, "No such command 'nosuch'"),
        (("get", "services", "--server", "https://127.0.0.1:1"), 3, "no control plane answers at https://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_shown_is_told(mesh: Installation, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = mesh.tulle(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_without_a_control_plane_the_way_out_is_told(bare: Installation) -> None:
    done = bare.tulle("get", "services")
    assert done.returncode == 3
    assert "hint: start one with `tulle up` or `tulle server`" in done.stderr


def test_a_reader_who_goes_away_is_no_error(mesh: Installation) -> None:
    program = "set -o pipefail; tulle get services -n shop | head -c 1 >/dev/null"
    bash = shutil.which("bash") or "/bin/bash"
    done = subprocess.run([bash, "-c", program], env=mesh.environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_describe_shows_conditions_and_relations(mesh: Installation) -> None:
    printed = mesh.ok("describe", "httproute", "catalog", "-n", "shop")
    for word in ("Accepted", "ResolvedRefs", "Programmed", "catalog-v1", "catalog-v2"):
        assert word in printed
    printed = mesh.ok("describe", "service", "catalog", "-n", "shop")
    assert "catalog-v1-" in printed and "Ready" in printed


def test_status_in_words_and_as_data(mesh: Installation) -> None:
    assert "Problems\n  none" in mesh.ok("status")
    report = json.loads(mesh.ok("status", "--json"))
    assert report["problems"] == []
    assert {service["name"]["name"]: service["ready"] for service in report["services"]}["catalog"] == 2
    assert [node["connected"] for node in report["nodes"]] == [True]
    assert {proxy["id"] for proxy in report["proxies"]} == {"node~local"}


def test_status_tells_what_is_wrong(mesh: Installation) -> None:
    lost = (
        (SHOP / "routes.yaml").read_text().replace("name: catalog-v2, port: 8080, weight: 10", "name: lost, port: 80")
    )
    mesh.apply(lost)
    try:
        done = mesh.tulle("status")
        assert done.returncode == 1
        assert "lost" in done.stdout.partition("Problems")[2]
    finally:
        mesh.ok("apply", "-f", str(SHOP / "routes.yaml"))


# Writing


def test_an_object_is_created_changed_and_deleted(mesh: Installation) -> None:
    assert mesh.apply(EXTRA % 8080) == "service/extra created\n"
    assert mesh.apply(EXTRA % 8080) == "service/extra unchanged\n"
    assert mesh.apply(EXTRA % 8081) == "service/extra configured\n"
    assert mesh.ok("delete", "service/extra", "-n", "shop") == "service/extra deleted\n"
    done = mesh.tulle("delete", "service", "extra", "-n", "shop")
    assert (done.returncode, done.stderr) == (1, "error: service/extra does not exist\n")
    mesh.ok("delete", "service", "extra", "-n", "shop", "--ignore-not-found")


@pytest.mark.parametrize("where", ["server", "client"])
def test_a_dry_run_changes_nothing(mesh: Installation, where: str) -> None:
    assert f"({where} dry run)" in mesh.apply(EXTRA % 8080, f"--dry-run={where}")
    assert mesh.tulle("get", "service", "extra", "-n", "shop").returncode == 1
    assert f"({where} dry run)" in mesh.ok("delete", "service", "web", "-n", "shop", f"--dry-run={where}")
    mesh.ok("get", "service", "web", "-n", "shop")


def test_who_writes_what_has_changed_meanwhile_is_refused(mesh: Installation) -> None:
    mesh.apply(EXTRA % 8080)
    before = mesh.ok("get", "service", "extra", "-n", "shop", "-o", "yaml")
    mesh.apply(EXTRA % 8081)
    done = mesh.tulle("apply", "-f", "-", stdin=before.replace("port: 8080", "port: 8082"))
    assert done.returncode == 1
    assert "Service/shop/extra" in done.stderr
    assert "Traceback" not in done.stderr
    assert "port: 8081" in mesh.ok("get", "service", "extra", "-n", "shop", "-o", "yaml")
    mesh.ok("delete", "service", "extra", "-n", "shop")


# The API


def test_a_watch_tells_every_change(mesh: Installation) -> None:
    curl = ("curl", "-sN", "--max-time", "60", "--unix-socket", str(mesh.run_dir / "api.sock"))
    url = "http://localhost/v1/namespaces/shop/services?watch=true"
    with subprocess.Popen([*curl, url], stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            events = _events(line.rstrip("\n") for line in watching.stdout)
            first = [next(events) for _ in range(8)]
            assert [kind for kind, _ in first] == ["ADDED"] * 7 + ["BOOKMARK"]
            mesh.apply(EXTRA % 8080)
            mesh.apply(EXTRA % 8081)
            mesh.ok("delete", "service", "extra", "-n", "shop")
            told = [next(events) for _ in range(3)]
            assert [(kind, object_["metadata"]["name"]) for kind, object_ in told] == [
                ("ADDED", "extra"),
                ("MODIFIED", "extra"),
                ("DELETED", "extra"),
            ]
        finally:
            watching.terminate()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def test_the_api_describes_itself(mesh: Installation) -> None:
    document = mesh.api("GET", "/openapi.json").body
    assert document["openapi"].startswith("3.")
    assert "/v1/namespaces/{namespace}/{plural}/{name}" in document["paths"]


def test_the_api_refuses_what_is_wrong_in_the_words_of_the_commands(mesh: Installation) -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "extra"}, "spec": {"ports": [{"port": 0}]}}
    reply = mesh.api("POST", "/v1/namespaces/shop/services", wrong)
    assert reply.status == 422
    assert reply.body["problems"][0]["path"] == "spec.ports[0].port"


def test_nobody_else_may_open_the_api(mesh: Installation) -> None:
    assert (mesh.run_dir / "api.sock").stat().st_mode & 0o777 == 0o600
    assert mesh.run_dir.stat().st_mode & 0o777 == 0o700


def test_a_page_of_another_site_may_not_ask_the_api(mesh: Installation) -> None:
    connection = http.client.HTTPConnection("evil.example", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(mesh.run_dir / "api.sock"))
    with contextlib.closing(connection):
        connection.request("GET", "/v1/namespaces/shop/services")
        assert connection.getresponse().status in (400, 403, 421)


# Without a control plane


@pytest.mark.parametrize("encoding", ["yaml", "json"])
def test_all_that_render_lists_it_shows(bare: Installation, encoding: str) -> None:
    rows = [line.split() for line in bare.ok("render", "-f", str(SHOP)).splitlines()[1:]]
    assert {kind for kind, _ in rows} >= {"proxy", "listener", "cluster", "endpoints", "routeconfig", "virtualhost"}
    seen: set[str] = set()
    for kind, name in rows:
        if kind not in seen:
            seen.add(kind)
            what = ("--proxy", name) if kind == "proxy" else (kind, name)
            printed = bare.ok("render", "-f", str(SHOP), *what, "-o", encoding)
            assert json.loads(printed) if encoding == "json" else yaml.safe_load(printed)


def test_every_kind_has_a_schema(bare: Installation) -> None:
    kinds = names(bare.ok("schema"))
    assert {"App", "HTTPRoute", "Mesh", "Service"} <= set(kinds)
    schema = json.loads(bare.ok("schema", "httproute"))
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_a_token_goes_to_a_file_of_ones_own(mesh: Installation) -> None:
    out = mesh.directory / "join.token"
    done = mesh.tulle("token", "create", "--node", "n2", "--service-account", "shop/web", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert out.stat().st_mode & 0o777 == 0o600
    again = mesh.tulle("token", "create", "--node", "n2", "--out", str(out))
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    assert mesh.ok("token", "create", "--node", "n2").startswith("tulle1.")


def test_versions(bare: Installation) -> None:
    versions = json.loads(bare.ok("version", "--json"))
    assert set(versions) == {"tulle", "envoy", "python"}
    assert bare.ok("version").splitlines()[0] == f"tulle {versions['tulle']}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(bare: Installation, shell: str) -> None:
    script = bare.ok("completion", shell)
    assert "tulle" in script
    if found := shutil.which(shell):
        assert subprocess.run([found, "-n"], input=script, text=True, timeout=60, check=False).returncode == 0


def test_bash_completes_commands(bare: Installation) -> None:
    asked = "COMP_WORDS=(tulle des); COMP_CWORD=1; _tulle_completion tulle; echo ${COMPREPLY[@]}"
    program = f"{bare.ok('completion', 'bash')}\n{asked}"
    bash = shutil.which("bash") or "/bin/bash"
    done = subprocess.run([bash, "-c", program], env=bare.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["describe"], done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(bare: Installation, command: str) -> None:
    done = bare.tulle(*command.split(), "--help")
    assert done.returncode == 0
    assert command == "version" or f"tulle {command}" in done.stdout.partition("Examples:")[2]


def test_help_lists_all_commands(bare: Installation) -> None:
    printed = bare.ok("--help")
    assert all(command.split()[0] in printed for command in COMMANDS)
    assert "Exit codes:" in printed


def test_a_terminal_gets_colours_unless_it_asks_for_none(mesh: Installation) -> None:
    plain = {"TERM": "xterm-256color", "NO_COLOR": "1"}
    assert "\x1b[" in _on_terminal(mesh, {"TERM": "xterm-256color"})
    printed = _on_terminal(mesh, plain)
    assert "catalog" in printed
    assert "\x1b[3" not in printed


def _on_terminal(mesh: Installation, extra: dict[str, str]) -> str:
    program = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))"
    command = mesh.user.tulle(mesh.directory, "get", "services", "-n", "shop")
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=mesh.environment | extra,
        cwd=mesh.directory,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_what_others_wrote_cannot_play_with_the_terminal(mesh: Installation) -> None:
    mesh.apply('{apiVersion: v1, kind: Namespace, metadata: {name: odd, annotations: {note: "\\u001b[2J"}}}')
    try:
        for output in ("yaml", "json"):
            assert "\x1b" not in mesh.ok("get", "namespace", "odd", "-o", output)
        assert "\x1b" not in mesh.ok("describe", "namespace", "odd")
    finally:
        mesh.ok("delete", "namespace", "odd")
    until(lambda: mesh.tulle("get", "namespace", "odd").returncode == 1, "it is gone")
