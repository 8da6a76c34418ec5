"""The commands that speak with a control plane, against the real API on a real socket."""

import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.fakes.told_backend import ToldBackend
from typer.testing import Result

from tulle.api.backend import AuthorityState, CertificateProblem, NodeState, ProxyState, Status, TypeSync
from tulle.model.conditions import Condition, RouteParentStatus
from tulle.model.names import ObjectRef
from tulle.model.references import ParentReference

Run = Callable[..., Result]

SHOP = str(Path(__file__).parents[3] / "examples" / "01-shop")

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
WORKLOAD = """\
apiVersion: tulle.dev/v1alpha1
kind: Workload
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {address: 127.0.0.1, meshPort: 20001, node: a, app: web, serviceAccount: web, state: %s}
"""


@pytest.fixture
def shop(backend: ToldBackend, run: Run) -> ToldBackend:
    """A control plane that holds the shop."""
    assert run("apply", "-f", SHOP).exit_code == 0
    return backend


def test_apply_says_what_became_of_each(backend: ToldBackend, run: Run, tmp_path: Path) -> None:
    first = run("apply", "-f", SHOP)
    assert (first.exit_code, first.stderr) == (0, "")
    assert "service/catalog created" in first.stdout.splitlines()
    again = run("apply", "-f", SHOP)
    assert {line.rpartition(" ")[2] for line in again.stdout.splitlines()} == {"unchanged"}
    changed = tmp_path / "routes.yaml"
    changed.write_text((Path(SHOP) / "routes.yaml").read_text().replace("90", "50"))
    assert run("apply", "-f", str(changed)).stdout == "httproute/catalog configured\n"


def test_a_dry_run_changes_nothing(backend: ToldBackend, run: Run) -> None:
    assert "service/catalog valid (client dry run)" in run("apply", "-f", SHOP, "--dry-run=client").stdout
    assert "service/catalog created (server dry run)" in run("apply", "-f", SHOP, "--dry-run=server").stdout
    assert run("get", "services", "-A", "-o", "name").stdout == ""


def test_apply_sends_nothing_when_a_file_has_a_problem(backend: ToldBackend, run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    (tmp_path / "bad.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {port: 80}\n")
    result = run("apply", "-f", str(tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path}/bad.yaml:4: Service/default/web: spec.port: unknown field" in result.stderr
    assert run("get", "namespaces", "-o", "name").stdout == ""


def test_a_relative_working_directory_is_that_of_the_file(shop: ToldBackend, run: Run) -> None:
    app = yaml.safe_load(run("get", "app", "web", "-n", "shop", "-o", "yaml").stdout)
    assert app["spec"]["workingDir"] == SHOP


def test_what_the_control_plane_finds_is_shown_with_file_and_line(shop: ToldBackend, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(SERVICE.replace("name: web", "name: web, resourceVersion: old"))
    result = run("apply", "-f", str(file))
    assert result.exit_code == 1
    assert f"{file}:1: Service/shop/web: metadata.resourceVersion" in result.stderr


def test_get_prints_tables(shop: ToldBackend, run: Run) -> None:
    lines = run("get", "svc", "-n", "shop").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PORTS", "SELECTOR", "STATUS", "AGE"]
    assert ["stock", "9000/tcp", "app=stock"] in [line.split()[:3] for line in lines]
    wide = run("get", "httproutes", "-A", "-o", "wide").stdout.splitlines()
    assert wide[0].split()[0] == "NAMESPACE"
    assert "HOSTNAMES" in wide[0]
    assert "catalog-v1,catalog-v2" not in wide[0] and "catalog-v2,catalog-v1" in wide[1]


def test_get_of_several_kinds_names_them(shop: ToldBackend, run: Run) -> None:
    names = run("get", "svc/web", "app/web", "-n", "shop", "-o", "name").stdout
    assert names == "service/web\napp/web\n"
    everything = run("get", "all", "-n", "shop").stdout
    assert "service/catalog" in everything and "serviceaccount/web" in everything


def test_get_selects_by_labels(backend: ToldBackend, run: Run, tmp_path: Path) -> None:
    assert run("apply", "-f", "-", stdin=WORKLOAD % "Ready").exit_code == 0
    assert run("get", "wl", "-A", "-l", "app=web", "-o", "name").stdout == "workload/web-0\n"
    none = run("get", "wl", "-n", "shop", "-l", "app!=web")
    assert none.stdout == ""
    assert "no resources" in none.stderr
    wrong = run("get", "wl", "-A", "-l", "=")
    assert wrong.exit_code == 1
    assert "hint: write key=value" in wrong.stderr


def test_json_of_one_is_the_object_and_of_many_a_list(shop: ToldBackend, run: Run) -> None:
    one = json.loads(run("get", "service", "web", "-n", "shop", "-o", "json").stdout)
    assert (one["kind"], one["metadata"]["name"]) == ("Service", "web")
    many = json.loads(run("get", "services", "-n", "shop", "-o", "json").stdout)
    assert many["kind"] == "List"
    assert len(many["items"]) == 7


def test_what_was_read_can_be_applied_again(shop: ToldBackend, run: Run) -> None:
    shown = run("get", "services", "-n", "shop", "-o", "yaml").stdout
    again = run("apply", "-f", "-", stdin=shown)
    assert again.exit_code == 0, again.stderr
    assert {line.rpartition(" ")[2] for line in again.stdout.splitlines()} == {"unchanged"}


def test_what_is_not_there_ends_with_1(backend: ToldBackend, run: Run) -> None:
    result = run("get", "service", "nothing")
    assert result.exit_code == 1
    assert "Service/default/nothing does not exist" in result.stderr
    assert run("get", "nonsense").exit_code == 1
    assert run("get", "service", "web", "-A").exit_code == 2


def test_delete_by_name_by_selector_and_by_file(shop: ToldBackend, run: Run) -> None:
    assert run("delete", "httproute", "catalog", "-n", "shop", "--dry-run=server").exit_code == 0
    assert run("delete", "httproute", "catalog", "-n", "shop").stdout == "httproute/catalog deleted\n"
    again = run("delete", "httproute/catalog", "-n", "shop")
    assert again.exit_code == 1
    assert "httproute/catalog does not exist" in again.stderr
    assert run("delete", "httproute/catalog", "-n", "shop", "--ignore-not-found").exit_code == 0
    assert run("delete", "services", "-n", "shop").exit_code == 1
    assert run("delete", "services", "-n", "shop", "--all").stdout.count("deleted") == 7
    assert run("delete", "-f", SHOP, "--ignore-not-found").exit_code == 0
    assert run("get", "all", "-A", "-o", "name").stdout == ""
    assert run("delete").exit_code == 2


def test_describe_says_where_a_route_applies(shop: ToldBackend, run: Run) -> None:
    ref = ObjectRef("gateway.networking.k8s.io/v1", "HTTPRoute", "shop", "catalog")
    parent = ParentReference(name="catalog", group="", kind="Service")
    condition = Condition("Accepted", "False", "NoMatchingParent", "port 1 is none of the service's")
    shop.known_statuses[ref] = Status(parents=(RouteParentStatus(parent, (condition,)),))
    result = run("describe", "httproute", "catalog", "-n", "shop")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["Service", "catalog", "shop", "-", "yes"] in lines
    assert ["everybody", "catalog-v2", "shop", "8080", "10", "10%", "yes"] in lines
    assert any(line[:4] == ["service/catalog", "Accepted", "False", "NoMatchingParent"] for line in lines)
    assert "NoMatchingParent" in run("get", "httproutes", "-n", "shop").stdout


def test_describe_says_who_answers_for_a_service(shop: ToldBackend, run: Run) -> None:
    run("apply", "-f", "-", stdin=WORKLOAD % "Ready")
    result = run("describe", "service/web", "app/web", "workload/web-0", "-n", "shop")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()].count(["web-0", "Ready", "a", "web", "sidecar"]) == 2
    assert "Answers for" in result.stdout
    assert run("describe", "services", "-n", "shop").exit_code == 1


def test_status_of_a_mesh_that_is_well(backend: ToldBackend, run: Run) -> None:
    run("apply", "-f", "-", stdin=f"{SERVICE}---\n{WORKLOAD % 'Ready'}")
    backend.known_nodes = (NodeState("a", True, 1, 1),)
    backend.known_proxies = (ProxyState("sidecar~a~shop~web-0", "a", "shop/web-0", True, True),)
    result = run("status")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["shop", "web", "80/tcp", "1/1", "Ready"] in lines
    assert ["sidecar~a~shop~web-0", "Synced", "-"] in lines


def test_status_shows_certificates_that_are_not_renewed(backend: ToldBackend, run: Run) -> None:
    late = CertificateProblem("spiffe://tulle.local/ns/shop/sa/web", "75 % of its life is over, and it is not renewed")
    backend.known_nodes = (
        NodeState("a", True, 1, 1, "2026-01-02T03:04:05Z", (), 80, (late,)),
        NodeState("b", True, 0, 0, "2026-01-02T03:04:05Z", (), 10),
    )
    backend.known_authority = AuthorityState(
        "tulle.local", "2036-01-01T00:00:00Z", 51, "50 % of the authority's life is over"
    )
    result = run("status")
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["a", "Connected", "1", "1", "2026-01-02T03:04:05Z", "80%", "NotRenewed"] in lines
    assert ["b", "Connected", "0", "0", "2026-01-02T03:04:05Z", "10%", "InTime"] in lines
    assert ["tulle.local", "2036-01-01T00:00:00Z", "51%"] in lines
    report = json.loads(run("status", "--json").stdout)
    assert report["problems"] == [
        f"certificate of {late.identity} on node a: {late.message}",
        "50 % of the authority's life is over",
    ]
    assert report["authority"]["lifeUsed"] == 51


def test_status_names_all_that_is_wrong(shop: ToldBackend, run: Run) -> None:
    run("apply", "-f", "-", stdin=WORKLOAD % "NotReady, message: ended with code 3")
    listener = TypeSync("type.googleapis.com/envoy.config.listener.v3.Listener", 2, False, "port\n in use")
    shop.known_proxies = (ProxyState("node~a", "a", "", True, False, (listener,)),)
    shop.known_nodes = (NodeState("a", False, 1, 1),)
    result = run("status", "-n", "shop")
    assert result.exit_code == 1
    for sentence in (
        "service web.shop: none of 1 workloads is ready",
        "service stock.shop: selects no workload",
        "workload web-0.shop is not ready: ended with code 3",
        "proxy node~a refused Listener: port in use",
        "node a is not connected",
    ):
        assert sentence in result.stdout
    report = json.loads(run("status", "--json").stdout)
    assert sentence in report["problems"]


def test_status_says_why_an_app_runs_nowhere(backend: ToldBackend, run: Run) -> None:
    app = "apiVersion: tulle.dev/v1alpha1\nkind: App\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n---\n"
    applied = run("apply", "-f", "-", stdin="".join((
        app % ("lost", "shop", "command: [x], node: nobody"),
        app % ("denied", "bank", "command: [x], node: a, serviceAccount: teller"),
        app % ("slow", "shop", "command: [x], node: a"),
        app % ("done", "shop", "command: [x], node: a, restartPolicy: Never"),
        app % ("none", "shop", "command: [x], node: a, replicas: 0"),
        app % ("web", "shop", "command: [x], node: a"),
        WORKLOAD % "Ready",
    )))  # fmt: skip
    assert applied.exit_code == 0, applied.output
    backend.known_nodes = (NodeState("a", True, 1, 1, service_accounts=("shop/*", "bank/clerk")),)
    problems = json.loads(run("status", "--json").stdout)["problems"]
    assert [problem for problem in problems if problem.startswith("app ")] == [
        "app denied.bank runs nowhere: node a may not run bank/teller: make a join token that allows it",
        "app lost.shop runs nowhere: no node nobody has joined",
        "app slow.shop runs nowhere: node a has made no workload of it; the log of its agent says why",
    ]
    assert "teller" not in run("status", "-n", "shop").stdout


def test_a_token_is_printed_or_written_to_a_private_file(backend: ToldBackend, run: Run, tmp_path: Path) -> None:
    made = run("token", "create", "--node", "a", "--service-account", "shop/web", "--ttl", "10m")
    assert made.exit_code == 0, made.output
    assert made.stdout.strip()
    out = tmp_path / "a.token"
    written = run("token", "create", "--node", "a", "--out", str(out))
    assert (written.exit_code, written.stdout) == (0, "")
    assert out.read_text().strip() not in written.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert run("token", "create", "--node", "a", "--out", str(out)).exit_code == 1
    refused = run("token", "create", "--node", "a", "--ttl", "1000h")
    assert refused.exit_code == 1
    assert "at most 168h" in refused.stderr


def test_without_a_control_plane_the_exit_code_is_3(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path))
    result = run("get", "services")
    assert result.exit_code == 3
    assert f"no control plane answers at {tmp_path}/api.sock: No such file or directory\n" in result.stderr
    assert "tulle up" in result.stderr


def test_what_is_no_control_plane_is_not_believed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api.sock"))
        assert run("status").exit_code == 3


def test_a_server_is_https_and_a_token_file_private(run: Run, tmp_path: Path) -> None:
    plain = run("get", "svc", "--server", "http://127.0.0.1:1")
    assert plain.exit_code == 1
    assert "https" in plain.stderr
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    exposed = run("get", "svc", "--server", "https://127.0.0.1:1", "--token-file", str(token))
    assert exposed.exit_code == 1
    assert "secret" not in exposed.stderr
    token.chmod(0o600)
    assert run("get", "svc", "--server", "https://127.0.0.1:1", "--token-file", str(token)).exit_code == 3
