"""The commands that need no control plane, as a person runs them."""

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from tulle.cli.app import app

SHOP = str(Path(__file__).parents[3] / "examples" / "01-shop")

FIVE_MISTAKES = """\
apiVersion: v1
kind: Service
metadata: {name: Catalog}
spec:
  selectr: {app: catalog}
  ports:
    - port: 80800
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: catalog}
spec:
  rules:
    - timeouts: {request: 10 seconds}
---
apiVersion: v1
kind: Serivce
metadata: {name: web}
"""


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_the_shop_has_no_problem() -> None:
    result = run("check", "-f", SHOP)
    assert result.exit_code == 0, result.output
    assert "no problem" in result.stdout


def test_a_target_port_that_nobody_declares_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(
        """\
apiVersion: tulle.dev/v1alpha1
kind: App
metadata: {name: web, namespace: shop}
spec:
  command: [python, web.py]
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports:
    - {name: http, port: 80, targetPort: 8081}
"""
    )
    result = run("check", "-f", str(file))
    assert result.exit_code == 0
    assert result.stdout == "2 resources in 1 file, no problem, 1 warning\n"
    assert result.stderr == (
        f"{file}:8: Service/shop/web: spec.ports[0].targetPort: "
        "warning: none of those that it selects declares port 8081\n"
        "    hint: they declare 8080 (http)\n"
    )


def test_five_mistakes_in_one_file_are_all_printed_with_line_and_hint(tmp_path: Path) -> None:
    file = tmp_path / "five.yaml"
    file.write_text(FIVE_MISTAKES)
    result = run("check", "-f", str(file))
    assert result.exit_code == 1
    assert result.stdout == ""
    for line, path, instead in (
        (3, "metadata.name", "hint: write catalog"),
        (5, "spec.selectr", "hint: did you mean `selector`?"),
        (7, "spec.ports[0].port", "must be a port from 1 to 65535"),
        (14, "spec.rules[0].timeouts.request", "must be a duration such as 10s"),
        (17, "kind", "hint: did you mean `Service`?"),
    ):
        assert any(said.startswith(f"{file}:{line}: ") and path in said for said in result.stderr.splitlines()), path
        assert instead in result.stderr
    assert "5 problems in 1 file" in result.stderr


def test_what_two_files_declare_is_a_problem(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    result = run("check", "-f", str(tmp_path))
    assert result.exit_code == 1
    assert f"b.yaml:1: Namespace/shop: is declared twice, first in {tmp_path}/a.yaml:1" in result.stderr


def test_references_that_lead_nowhere_are_problems(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    original = (Path(SHOP) / "routes.yaml").read_text()
    routes.write_text(original.replace("catalog-v1,", "catalog-v3,").replace("name: catalog}", "name: catalogue}"))
    result = run("check", "-f", str(routes), "-f", f"{SHOP}/services.yaml")
    assert result.exit_code == 1
    assert f"{routes}:2: HTTPRoute/shop/catalog: spec.parentRefs[0]: service catalogue.shop does not" in result.stderr
    assert (
        "spec.rules[1].backendRefs[0]: service catalog-v3.shop does not exist\n    hint: did you mean" in result.stderr
    )
    assert "2 problems in 2 files" in result.stderr


def test_standard_input_is_read() -> None:
    result = run("check", "-f", "-", stdin="apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n")
    assert result.exit_code == 1
    assert "<stdin>:2: " in result.stderr


def test_a_file_that_is_missing_is_an_error() -> None:
    result = run("check", "-f", "/nonexistent.yaml")
    assert result.exit_code == 1
    assert "error: /nonexistent.yaml: No such file or directory" in result.stderr


def test_wrong_arguments_end_with_2() -> None:
    assert run("check").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_schema_lists_kinds_and_prints_one() -> None:
    assert "httproutes" in run("schema").stdout
    schema = json.loads(run("schema", "svc").stdout)
    assert schema["title"] == "Service"


def test_an_unknown_kind_gets_a_hint() -> None:
    result = run("schema", "servics")
    assert result.exit_code == 1
    assert "hint: did you mean services?" in result.stderr


def test_render_prints_what_a_proxy_is_told() -> None:
    host = yaml.safe_load(run("render", "-f", SHOP, "virtualhost", "shop/catalog:8080").stdout)
    assert host["routes"][0]["route"]["cluster"] == "catalog-v2.shop:8080"
    weights = {c["name"]: c["weight"] for c in host["routes"][1]["route"]["weighted_clusters"]["clusters"]}
    assert weights["catalog-v1.shop:8080"] == 9 * weights["catalog-v2.shop:8080"]


def test_render_lists_names_that_it_renders() -> None:
    listed = [line.split() for line in run("render", "-f", SHOP).stdout.splitlines()[1:]]
    assert ["proxy", "sidecar~local~shop~web-0"] in listed
    assert ["listener", "outbound/shop/web-0"] in listed
    assert ["virtualhost", "shop/catalog:8080"] in listed
    for type_name, name in listed:
        asked = ("--proxy", name) if type_name == "proxy" else (type_name, name)
        results = [run("render", "-f", SHOP, *asked, "-o", encoding) for encoding in ("json", "yaml")]
        assert [result.exit_code for result in results] == [0, 0], (type_name, name, results[1].output)
        assert json.loads(results[0].stdout) == yaml.safe_load(results[1].stdout)


def test_render_of_what_there_is_not_says_what_there_is() -> None:
    result = run("render", "-f", SHOP, "--proxy", "sidecar~local~shop~nobody")
    assert result.exit_code == 1
    assert "sidecar~local~shop~web-0" in result.stderr


def test_version_and_completion() -> None:
    assert "envoy 1.40.0" in run("version").stdout
    assert "complete -o default -F _tulle_completion tulle" in run("completion", "bash").stdout
