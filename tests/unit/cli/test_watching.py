"""`tulle get -w`, from the events of a watch, and as a program that runs until it is interrupted."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
from msgspec import Raw
from tests.fakes.told_backend import ToldBackend
from typer.testing import Result

from tulle.api.backend import Status
from tulle.cli.client import ServerEvent, Unreachable
from tulle.cli.errors import Failure
from tulle.cli.kinds import targets
from tulle.cli.options import Format
from tulle.cli.watching import follow, one_kind
from tulle.model.conditions import ACCEPTED, Condition
from tulle.model.names import ObjectRef

Run = Callable[..., Result]
Json = dict[str, object]

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def service(name: str, reason: str = "Accepted", namespace: str = "shop") -> Json:
    status = "True" if reason == "Accepted" else "False"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {}, "ports": [{"port": 80}]},
        "status": {"conditions": [{"type": "Accepted", "status": status, "reason": reason}]},
    }


def event(what: str, data: Json) -> ServerEvent:
    return ServerEvent(what, Raw(json.dumps(data).encode()))


BOOKMARK = event("BOOKMARK", {"resourceVersion": "1"})
GONE: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}


class Told:
    """A control plane that says these events, and then no more."""

    def __init__(self, *events: ServerEvent) -> None:
        self.events = events
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[ServerEvent]:
        self.asked.append((path, query))
        yield from self.events
        raise Unreachable("it has ended")


def watched(
    told: Told, *words: str, output: Format = Format.table, namespace: str = "shop", selector: str = ""
) -> None:
    with pytest.raises(Unreachable):
        follow(told, one_kind(targets(words)), namespace, selector, output)  # type: ignore[arg-type]


def printed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split()[:-1] for line in capsys.readouterr().out.splitlines()]  # without the age


def test_rows_of_what_there_is_then_of_what_changes(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(
        event("ADDED", service("web")),
        event("ADDED", service("db")),
        BOOKMARK,
        event("MODIFIED", service("web", "RejectedByProxy")),
        BOOKMARK,
        event("DELETED", GONE),
        event("ADDED", service("a-long-name")),
    )
    watched(told, "services", selector="app=web")
    assert printed(capsys) == [
        ["NAME", "PORTS", "SELECTOR", "STATUS"],
        ["web", "80/tcp", "-", "Accepted"],
        ["db", "80/tcp", "-", "Accepted"],
        ["web", "80/tcp", "-", "RejectedByProxy"],
        ["web", "80/tcp", "-", "Deleted"],
        ["a-long-name", "80/tcp", "-", "Accepted"],
    ]
    assert told.asked == [("/v1/namespaces/shop/services", {"labelSelector": "app=web"})]


def test_nothing_is_printed_before_there_is_something(capsys: pytest.CaptureFixture[str]) -> None:
    watched(Told(BOOKMARK, event("DELETED", GONE)), "services")
    assert printed(capsys) == []
    watched(Told(BOOKMARK, event("ADDED", service("web", namespace="art"))), "services", namespace="")
    assert printed(capsys) == [
        ["NAMESPACE", "NAME", "PORTS", "SELECTOR", "STATUS"],
        ["art", "web", "80/tcp", "-", "Accepted"],
    ]


def test_only_those_with_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(
        event("ADDED", service("web")),
        event("ADDED", service("db")),
        BOOKMARK,
        event("MODIFIED", service("db")),
        event("MODIFIED", service("web")),
    )
    watched(told, "service/web", output=Format.name)
    assert capsys.readouterr().out == "service/web\n" * 2


@pytest.mark.parametrize("output", [Format.json, Format.yaml])
def test_documents(capsys: pytest.CaptureFixture[str], output: Format) -> None:
    watched(
        Told(event("ADDED", service("web")), BOOKMARK, event("MODIFIED", service("web", "X"))), "svc", output=output
    )
    text = capsys.readouterr().out
    assert text.count("Service") == 2
    assert "reason" in text.partition("X")[0]


def test_a_name_that_does_not_exist() -> None:
    told = Told(event("ADDED", service("web")), BOOKMARK)
    with pytest.raises(Failure, match="Service/shop/nobody does not exist"):
        follow(told, one_kind(targets(["services", "web", "nobody"])), "shop", "", Format.table)  # type: ignore[arg-type]


def test_only_one_kind() -> None:
    with pytest.raises(Failure, match="not Service, App"):
        one_kind(targets(["service/web", "app/web"]))


def test_a_watch_that_the_control_plane_ends() -> None:
    document: Json = {"title": "Gone", "status": 410, "detail": "too long ago", "reason": "Expired"}
    with pytest.raises(Failure, match="too long ago"):
        follow(Told(BOOKMARK, event("ERROR", document)), one_kind(targets(["svc"])), "", "", Format.table)  # type: ignore[arg-type]


def test_a_running_watch(backend: ToldBackend, run: Run) -> None:
    assert run("apply", "-f", "-", stdin=SERVICE).exit_code == 0
    command = [sys.executable, "-c", "from tulle.cli import main; main()", "get", "services", "-n", "shop", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("NAME")
        assert " Accepted " in process.stdout.readline()
        ref = ObjectRef("v1", "Service", "shop", "web")
        backend.known_statuses[ref] = Status((Condition(ACCEPTED, "False", "Invalid", "bad"),))
        assert run("apply", "-f", "-", stdin=SERVICE.replace("80", "81")).exit_code == 0
        assert process.stdout.readline().split()[1:4] == ["81/tcp", "app=web", "Invalid"]
        assert run("delete", "service", "web", "-n", "shop").exit_code == 0
        assert " Deleted " in process.stdout.readline()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130


def test_a_watch_of_what_is_refused(backend: ToldBackend, run: Run) -> None:
    refused = run("get", "services", "-w", "-l", "a b")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "labelSelector" in refused.stderr
