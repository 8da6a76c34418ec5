"""The shop of the examples, as a visitor, an operator and its own applications see it: in both modes, of both users."""

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import skip_unless_possible
from tests.e2e.live import ORDINARY, ROOT, SHOP, Client, Installation, Running, installation, until

pytestmark = pytest.mark.e2e

REGISTRY_ONLY = """
    apiVersion: tulle.dev/v1alpha1
    kind: Mesh
    metadata: {name: default}
    spec:
      mode: %s
      outboundTrafficPolicy: {mode: %s}
"""


class Shop:
    """A running shop, its page's port on this host, and a client where `web` is."""

    def __init__(self, mesh: Installation, up: Running, mode: str, port: int) -> None:
        self.mesh = mesh
        self.up = up
        self.mode = mode
        self.port = port
        self.web: Client = mesh.inside("shop", "web")
        # What comes first has to wait for the others, and may find that they are not there yet.
        until(lambda: self.web.get("http://web:8080/api/items")["status"] == 200, "the shop is open")
        self.said_while_starting = mesh.app_log("load", "shop")


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    return port


@pytest.fixture(
    scope="module",
    params=[(mode, user) for user in (ROOT, ORDINARY) for mode in ("sidecar", "node")],
    ids=lambda p: f"{p[0]}-{p[1].name}",
)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    mode, user = request.param
    skip_unless_possible(user)
    with installation(user) as mesh:
        port = free_port()
        up = mesh.up("-f", str(SHOP), "--mode", mode, "--publish", f"{port}:shop/web:8080")
        yield Shop(mesh, up, mode, port)


def test_tells_what_it_started(shop: Shop) -> None:
    assert "tulle exec -n shop web -- curl -s http://catalog:8080/" in " ".join(shop.up.output.split())
    assert f"http://127.0.0.1:{shop.port} is web on this host" in shop.up.output


def test_an_application_calls_another_by_name(shop: Shop) -> None:
    done = shop.mesh.tulle("exec", "-n", "shop", "web", "--", "curl", "-s", "http://catalog:8080/items")
    assert json.loads(done.stdout)["version"] in ("v1", "v2"), done.stderr


def test_testers_always_get_the_new_version(shop: Shop) -> None:
    counts = shop.web.ask(
        kind="many", url="http://catalog:8080/items", headers={"x-beta": "1"}, header="x-version", count=50
    )
    assert counts == {"200 v2": 50}


def test_of_the_others_one_in_ten_gets_the_new_version(shop: Shop) -> None:
    counts = shop.web.ask(kind="many", url="http://catalog:8080/items", header="x-version", count=1000)
    assert sum(counts.values()) == counts["200 v1"] + counts["200 v2"]
    assert 70 <= counts["200 v2"] <= 130


def test_pricing_answers_grpc(shop: Shop) -> None:
    answer = shop.web.ask(
        kind="grpc", target="pricing:8080", method="/shop.Pricing/Prices", message={"skus": ["tulle", "linen"]}
    )
    assert answer == {"reply": {"prices": {"tulle": 18.5, "linen": 24.0}}}


def test_stock_answers_tcp(shop: Shop) -> None:
    answer = shop.web.ask(kind="tcp", host="stock", port=9000, send="GET tulle\n")
    assert int(answer["received"]) >= 0


def test_the_page_is_on_the_published_port(shop: Shop) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/?beta=1", timeout=20) as reply:
        page = reply.read().decode()
    assert "Crystal organza" in page
    assert "price unknown" not in page and "stock unknown" not in page and "no reviews" not in page


def test_the_load_generator_meets_no_error(shop: Shop) -> None:
    # It says nothing unless something fails.
    assert shop.mesh.workloads("load", "shop")
    assert shop.mesh.app_log("load", "shop") == shop.said_while_starting


def test_every_form_of_a_name_gives_the_same_two_addresses(shop: Shop) -> None:
    forms = ("catalog", "catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local")
    answers = [shop.web.ask(kind="addresses", name=form) for form in forms]
    assert answers[0] == [a for a in answers[0] if a.startswith(("240.24", "fd74:756c:6c65:1:"))]
    assert len(answers[0]) == 2
    assert answers == [answers[0]] * len(forms)


def test_every_form_of_a_name_is_served(shop: Shop) -> None:
    for form in ("catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local"):
        assert shop.web.get(f"http://{form}:8080/items")["status"] == 200, form


def test_the_ipv6_address_is_served(shop: Shop) -> None:
    address = next(a for a in shop.web.ask(kind="addresses", name="catalog") if ":" in a)
    answer = shop.web.get(f"http://[{address}]:8080/items", {"host": "catalog:8080"})
    assert (answer["status"], len(answer["body"]["items"])) in ((200, 4), (200, 5))
    address = next(a for a in shop.web.ask(kind="addresses", name="stock") if ":" in a)
    assert int(shop.web.ask(kind="tcp", host=address, port=9000, send="GET linen\n")["received"]) >= 0


def test_an_unknown_host_of_the_mesh_is_not_found(shop: Shop) -> None:
    address = next(a for a in shop.web.ask(kind="addresses", name="catalog") if ":" not in a)
    assert shop.web.get(f"http://{address}:8080/items", {"host": "nobody.example"})["status"] == 404


def test_an_unknown_name_has_no_address(shop: Shop) -> None:
    assert shop.web.ask(kind="addresses", name="nobody.shop")["error"] == "gaierror"


def test_a_port_that_no_service_has_is_refused(shop: Shop) -> None:
    answer = shop.web.get("http://catalog:9999/items")
    assert answer.get("status") == 404 or answer["error"] in ("ConnectionResetError", "RemoteDisconnected")


def test_udp_is_refused_at_once(shop: Shop) -> None:
    for host in ("192.0.2.1", "catalog", "2001:db8::1"):
        answer = shop.web.ask(kind="udp", host=host, port=5000)
        assert answer["error"] == "PermissionError", (host, answer)


class Outside(http.server.BaseHTTPRequestHandler):
    """A server that is no part of the mesh."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[str, int]]:
    """A server at an address of this host that is not its loopback's."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        if os.environ.get("CI"):
            raise AssertionError("CI runs as root and has iproute2")
        pytest.skip("an address of its own needs root and iproute2")
    link, address = f"out{os.getpid()}"[:15], "198.51.100.77"
    for command in (
        ("ip", "link", "add", link, "type", "veth", "peer", "name", f"peer{os.getpid()}"[:15]),
        ("ip", "address", "add", f"{address}/32", "dev", link),
        ("ip", "link", "set", link, "up"),
    ):
        subprocess.run(command, check=True)
    try:
        server = http.server.ThreadingHTTPServer((address, 0), Outside)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with contextlib.closing(server.socket):
            yield address, server.server_address[1]
            server.shutdown()
    finally:
        subprocess.run(("ip", "link", "delete", link), check=True)


def test_addresses_outside_the_mesh_are_reached_as_the_mesh_says(shop: Shop, outside: tuple[str, int]) -> None:
    url = f"http://{outside[0]}:{outside[1]}/"
    assert shop.web.get(url)["body"] == "outside"
    shop.mesh.apply(REGISTRY_ONLY % (shop.mode, "REGISTRY_ONLY"))
    try:
        refused = until(lambda: (a := shop.web.get(url, timeout=20)) and a.get("error"), "it is refused")
        assert refused in ("ConnectionResetError", "RemoteDisconnected", "ConnectionRefusedError")
        assert shop.web.get("http://catalog:8080/items")["status"] == 200
    finally:
        shop.mesh.apply(REGISTRY_ONLY % (shop.mode, "ALLOW_ANY"))
    until(lambda: shop.web.get(url).get("body") == "outside", "it is reached again")


def test_after_all_that_the_load_generator_has_met_no_error(shop: Shop) -> None:
    assert shop.mesh.app_log("load", "shop") == shop.said_while_starting


def test_the_status_is_well(shop: Shop) -> None:
    done = shop.mesh.tulle("status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Problems\n  none")


def test_applying_the_same_files_again_changes_nothing(shop: Shop) -> None:
    before = shop.mesh.workloads("web", "shop")
    printed = shop.mesh.ok("apply", "-f", str(SHOP))
    assert {line.split()[1] for line in printed.splitlines()} == {"unchanged"}
    time.sleep(1)
    assert shop.mesh.workloads("web", "shop") == before


def test_moved_weights_are_obeyed_without_a_failed_request(shop: Shop) -> None:
    routes = (SHOP / "routes.yaml").read_text()
    shop.web.ask(kind="load", url="http://catalog:8080/items")
    try:
        shop.mesh.apply(routes.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 100"))
        question = {"kind": "many", "url": "http://catalog:8080/items", "header": "x-version", "count": 20}
        until(lambda: shop.web.ask(**question) == {"200 v2": 20}, "all get the new version")
    finally:
        counts = shop.web.ask(kind="unload")
        shop.mesh.apply(routes)
    assert set(counts) == {"200"}


def test_leaves_nothing_behind(shop: Shop) -> None:
    # The last test of each shop.
    shop.mesh.note()
    assert shop.up.stop() == 0
    shop.web.close()
    shop.mesh.assert_nothing_left()
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(("127.0.0.1", shop.port))
