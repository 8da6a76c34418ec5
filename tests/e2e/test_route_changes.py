"""Configuration changes under load, and no request notices: routes a thousand times, backends while they come and go.

No retry policy hides anything: what `wrk`, `h2load` and the steady client count is what was lost.
"""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e.resilience_mesh import Mesh, running, steady, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces need root; run as root, or set CI to fail"
    ),
]
needs_generators = pytest.mark.skipif(
    not (shutil.which("wrk") and shutil.which("h2load")) and not os.environ.get("CI"), reason="needs wrk and h2load"
)

CHANGES = 1000
CONNECTIONS = 4
WITHIN = ("exec", "-n", "steady", "caller", "--")
URL = "http://http:8080/"
SHORT = ("keep-alive", "close", "unary")
"""Kinds of calls that do not stay with one backend for ever."""


@pytest.fixture(scope="module", params=["sidecar", "node"])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as made:
        made.apply(service("http-a"), service("http-b"))
        yield made


@needs_generators
def test_a_thousand_changes_of_routes_lose_nothing(mesh: Mesh) -> None:
    with mesh.nothing_lost(), load(mesh) as counted:
        began = time.monotonic()
        for number in range(CHANGES):
            if number % 50 == 49:
                mesh.api.delete("/v1/namespaces/steady/httproutes/changing").raise_for_status()
            else:
                mesh.apply(route(number))
        print(f"\n{CHANGES} changes in {time.monotonic() - began:.1f} s", end="")
        mesh.apply(route(CHANGES))
        last = f"x-change: {CHANGES}"
        until(lambda: last in mesh.tulle(*WITHIN, "curl", "-s", "-D", "-", URL), "the last change is in force")
    print(f", {counted['wrk']} requests over HTTP/1.1, {counted['h2load']} over HTTP/2")
    until(mesh.in_sync, "everything is in sync")


@needs_generators
def test_backends_that_come_and_go_lose_nothing(mesh: Mesh) -> None:
    with mesh.nothing_lost(), load(mesh) as counted:
        for _ in range(2):
            mesh.apply(*steady(mesh, replicas=4))
            until(lambda: len(mesh.ready("server")) == 4, "two more have come")
            mesh.apply(*steady(mesh, replicas=2))
            until(lambda: sum("server" in name for name in mesh.applications()) == 2, "they have gone")
    print(f"\n{counted['wrk']} requests over HTTP/1.1, {counted['h2load']} over HTTP/2")


def test_a_new_version_of_an_application_loses_nothing(mesh: Mesh) -> None:
    before = set(mesh.ready("server"))
    with mesh.nothing_lost(SHORT):
        mesh.apply(*steady(mesh, pause="0.05"))
        until(lambda: len(set(mesh.ready("server")) - before) == 2, "the new version runs")
        until(lambda: not before & set(mesh.ready("server")), "the old version has gone")
        until(lambda: sum("server" in name for name in mesh.applications()) == 2, "its processes have ended")
    assert max(mesh.executed().values()) == 1


def service(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 8080, "appProtocol": "http"}]
    spec = {"selector": {"app": "server"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "steady"}, "spec": spec}


def route(number: int) -> dict[str, Any]:
    """Every number another one: weights, header edits, and rules that come and go."""
    edit = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header("x-change", number)]}}
    backends = [
        {"name": "http-a", "port": 8080, "weight": number % 10},
        {"name": "http-b", "port": 8080, "weight": 1 + number % 7},
    ]
    others = [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": f"/{number + index}"}}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [header("x-n", number)]}}],
            "backendRefs": backends,
        }
        for index in range(number % 4)
    ]
    spec = {
        "parentRefs": [{"group": "", "kind": "Service", "name": "http"}],
        "rules": [*others, {"filters": [edit], "backendRefs": backends}],
    }
    metadata = {"name": "changing", "namespace": "steady"}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def header(name: str, value: int) -> dict[str, str]:
    return {"name": name, "value": str(value)}


@contextmanager
def load(mesh: Mesh) -> Iterator[dict[str, int]]:
    """Calls with both generators meanwhile; afterwards none of their requests has failed. How many succeeded is known
    at the end."""
    counted: dict[str, int] = {"h2load": 0}
    failures: list[str] = []
    ending = threading.Event()

    def http2() -> None:
        while not ending.is_set():
            said = mesh.tulle(*WITHIN, "h2load", "-n", "400", "-c", str(CONNECTIONS), "-m", "4", URL)
            if "400 succeeded, 0 failed, 0 errored, 0 timeout" not in said or "400 2xx" not in said:
                failures.append(said)
            counted["h2load"] += 400

    wrk = mesh.begin(*WITHIN, "wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "10m", "--timeout", "30s", URL)
    thread = threading.Thread(target=http2)
    thread.start()
    try:
        yield counted
    finally:
        ending.set()
        thread.join()
        wrk.send_signal(signal.SIGINT)
        said, _ = wrk.communicate(timeout=60)
    assert failures == []
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    requests = re.search(r"(\d+) requests in", said)
    assert requests, said
    counted["wrk"] = int(requests[1])
    assert counted["wrk"] > 0
    assert wrk.returncode == 0
