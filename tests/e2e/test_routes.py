"""What routes promise, asked of running proxies: a table of routes, requests and what has to come of them."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from msgspec import Struct
from tests.e2e.conftest import skip_unless_possible
from tests.e2e.live import ORDINARY, ROOT, Client, Installation, echo_app, installation, manifest, service, until

pytestmark = pytest.mark.e2e

PORTS = {"HTTP_PORT": "8080", "GRPC_PORT": "9090", "TCP_PORT": "9000"}


class Case(Struct, frozen=True):
    """A service of its own, called `name`, in namespace north, with `rules` of an HTTPRoute. Each request is a path or
    a question of `inside.py`; each expectation names parts of the answer: `status`, `app` (who answered), `path`,
    `method`, `sent` (headers that the application got), `headers` (those of the response; None: there is none)."""

    name: str
    rules: str
    expected: tuple[tuple[str | Mapping[str, Any], Mapping[str, Any]], ...]


CASES = (
    Case(
        "paths",
        """
        - matches: [{path: {type: Exact, value: /exact}}]
          backendRefs: [{name: two, port: 8080}]
        - matches: [{path: {type: PathPrefix, value: /prefix}}]
          backendRefs: [{name: two, port: 8080}]
        - matches: [{path: {type: RegularExpression, value: "/item-[0-9]+"}}]
          backendRefs: [{name: two, port: 8080}]
        - backendRefs: [{name: one, port: 8080}]
        """,
        (
            ("/exact", {"status": 200, "app": "two"}),
            ("/exact/more", {"app": "one"}),
            ("/prefix", {"app": "two"}),
            ("/prefix/more?x=1", {"app": "two", "path": "/prefix/more?x=1"}),
            ("/prefixed", {"app": "one"}),
            ("/item-12", {"app": "two"}),
            ("/item-x", {"app": "one"}),
        ),
    ),
    Case(
        "conditions",
        """
        - matches: [{method: POST}]
          backendRefs: [{name: two, port: 8080}]
        - matches: [{queryParams: [{name: version, value: new}]}]
          backendRefs: [{name: two, port: 8080}]
        - matches: [{headers: [{name: x-user, value: "a.*", type: RegularExpression}]}]
          backendRefs: [{name: two, port: 8080}]
        - matches: [{path: {value: /both}, headers: [{name: x-both, value: "1"}]}]
          backendRefs: [{name: two, port: 8080}]
        - backendRefs: [{name: one, port: 8080}]
        """,
        (
            ({"path": "/", "method": "POST", "body": "hello"}, {"app": "two", "method": "POST", "body": "hello"}),
            ("/", {"app": "one", "method": "GET"}),
            ("/?version=new", {"app": "two"}),
            ("/?version=newer", {"app": "one"}),
            ({"path": "/", "headers": {"x-user": "ada"}}, {"app": "two"}),
            ({"path": "/", "headers": {"x-user": "bob"}}, {"app": "one"}),
            ({"path": "/both", "headers": {"x-both": "1"}}, {"app": "two"}),
            ({"path": "/both", "headers": {"x-both": "2"}}, {"app": "one"}),
        ),
    ),
    Case(
        "no-match",
        """
        - matches: [{path: {value: /only}}]
          backendRefs: [{name: one, port: 8080}]
        """,
        (("/only", {"status": 200}), ("/other", {"status": 404})),
    ),
    Case(
        "redirects",
        """
        - matches: [{path: {value: /old}}]
          filters:
            - type: RequestRedirect
              requestRedirect:
                scheme: https
                hostname: shop.example
                port: 8443
                path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}
                statusCode: 301
        - matches: [{path: {value: /full}}]
          filters:
            - type: RequestRedirect
              requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /there}}
        """,
        (
            ("/old/a?x=1", {"status": 301, "headers": {"location": "https://shop.example:8443/new/a?x=1"}}),
            ("/full/a", {"status": 302, "headers": {"location": "http://redirects:8080/there"}}),
        ),
    ),
    Case(
        "rewrites",
        """
        - matches: [{path: {value: /api}}]
          filters:
            - type: URLRewrite
              urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}
          backendRefs: [{name: one, port: 8080}]
        - matches: [{path: {value: /whole}}]
          filters:
            - type: URLRewrite
              urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /one}}
          backendRefs: [{name: one, port: 8080}]
        - matches: [{path: {value: /strip}}]
          filters:
            - type: URLRewrite
              urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}
          backendRefs: [{name: one, port: 8080}]
        """,
        (
            ("/api/items?x=1", {"path": "/v2/items?x=1", "sent": {"host": "inner.example"}}),
            ("/api", {"path": "/v2"}),
            ("/whole/thing", {"path": "/one"}),
            ("/strip/thing", {"path": "/thing"}),
            ("/strip", {"path": "/"}),
        ),
    ),
    Case(
        "headers",
        """
        - filters:
            - type: RequestHeaderModifier
              requestHeaderModifier:
                set: [{name: x-set, value: by-route}]
                add: [{name: x-add, value: more}]
                remove: [x-remove]
            - type: ResponseHeaderModifier
              responseHeaderModifier:
                set: [{name: x-reply, value: by-route}]
                remove: [x-app]
          backendRefs:
            - name: one
              port: 8080
              filters:
                - type: RequestHeaderModifier
                  requestHeaderModifier: {set: [{name: x-backend, value: one}]}
        """,
        (
            (
                {"path": "/", "headers": {"x-set": "mine", "x-add": "mine", "x-remove": "mine"}},
                {
                    "sent": {"x-set": "by-route", "x-add": "mine,more", "x-remove": None, "x-backend": "one"},
                    "headers": {"x-reply": "by-route", "x-app": None},
                },
            ),
        ),
    ),
    Case(
        "timeouts",
        """
        - matches: [{path: {value: /short}}]
          timeouts: {request: 300ms}
          backendRefs: [{name: one, port: 8080}]
        - backendRefs: [{name: one, port: 8080}]
        """,
        (
            ("/short?sleep=0", {"status": 200}),
            ("/short?sleep=3", {"status": 504}),
            ("/?sleep=0.5", {"status": 200}),
        ),
    ),
    Case(
        "granted",
        """
        - matches: [{path: {value: /granted}}]
          backendRefs: [{name: three, namespace: south, port: 8080}]
        - matches: [{path: {value: /forbidden}}]
          backendRefs: [{name: secret, namespace: south, port: 8080}]
        """,
        (("/granted", {"status": 200, "app": "three"}), ("/forbidden", {"status": 500})),
    ),
    Case(
        "missing",
        """
        - matches: [{path: {value: /nobody}}]
          backendRefs: [{name: nobody, port: 8080}]
        - matches: [{path: {value: /nothing}}]
          backendRefs: [{name: one, port: 8080, weight: 0}]
        - backendRefs: [{name: one, port: 8080}]
        """,
        (("/nobody", {"status": 500}), ("/nothing", {"status": 500}), ("/", {"status": 200})),
    ),
    Case(
        "first-of-equals",
        """
        - matches: [{path: {value: /a}}]
          backendRefs: [{name: one, port: 8080}]
        - matches: [{path: {value: /a/b}}, {path: {value: /a}}]
          backendRefs: [{name: two, port: 8080}]
        """,
        (("/a/b", {"app": "two"}), ("/a", {"app": "one"}), ("/a/c", {"app": "one"})),
    ),
)


def http_route(case: Case) -> dict[str, Any]:
    return route("HTTPRoute", case.name, "north", case.name, case.rules)


def route(kind: str, name: str, namespace: str, parent: str, rules: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": parent}],
            "rules": yaml.safe_load(textwrap.dedent(rules)),
            **spec,
        },
    }


GRPC_RULES = """
    - matches: [{method: {service: shop.Pricing, method: Prices}}]
      backendRefs: [{name: two, port: 9090}]
    - matches: [{headers: [{name: x-beta, value: "1"}]}]
      backendRefs: [{name: two, port: 9090}]
    - matches: [{method: {service: shop.Stock}}]
      backendRefs: [{name: one, port: 9090}]
"""
TCP_RULES = """
    - backendRefs:
        - {name: one, port: 9000, weight: 1}
        - {name: two, port: 9000, weight: 3}
"""
CONSUMER_RULES = """
    - filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-consumer, value: south}]}
      backendRefs: [{name: paths, namespace: north, port: 8080}]
"""
GRANT = {
    "apiVersion": "gateway.networking.k8s.io/v1beta1",
    "kind": "ReferenceGrant",
    "metadata": {"name": "north", "namespace": "south"},
    "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "north"}],
        "to": [{"group": "", "kind": "Service", "name": "three"}],
    },
}


def consumer_route() -> dict[str, Any]:
    """What clients in south do when they call a service of north."""
    made = route("HTTPRoute", "consumer", "south", "paths", CONSUMER_RULES)
    made["spec"]["parentRefs"][0]["namespace"] = "north"
    return made


def declared() -> str:
    every = {"http": 8080, "grpc": 9090, "tcp": 9000}
    return manifest(
        *(echo_app(name, "north", PORTS) for name in ("one", "two")),
        echo_app("three", "south", PORTS),
        *(service(name, "north", **every) for name in ("one", "two")),
        *(service(name, "south", "three", **every) for name in ("three", "secret")),
        *(service(case.name, "north", "one") for case in CASES),
        *map(http_route, CASES),
        service("calls", "north", "one", grpc=9090),
        route("GRPCRoute", "calls", "north", "calls", GRPC_RULES),
        service("lines", "north", "one", tcp=9000),
        route("TCPRoute", "lines", "north", "lines", TCP_RULES),
        GRANT,
        consumer_route(),
    )


class Clients(Struct, frozen=True):
    mesh: Installation
    north: Client
    south: Client


@pytest.fixture(
    scope="module", params=[("sidecar", ROOT), ("node", ORDINARY)], ids=lambda param: f"{param[0]}-{param[1].name}"
)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    mode, user = request.param
    skip_unless_possible(user)
    with installation(user) as mesh:
        mesh.up("-f", mesh.write("routes.yaml", declared()), "--mode", mode)
        made = Clients(mesh, mesh.inside("north", "one"), mesh.inside("south", "three"))
        until(lambda: made.north.get("http://paths:8080/exact").get("status") == 200, "the first route is served")
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_http_routes(clients: Clients, case: Case) -> None:
    for asked, expected in case.expected:
        question = {"path": asked} if isinstance(asked, str) else dict(asked)
        answer = clients.north.get(f"http://{case.name}:8080{question.pop('path')}", **question)
        assert _told(answer, expected) == expected, (asked, answer)


def _told(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an answer that an expectation is about."""
    body = answer["body"] if isinstance(answer.get("body"), dict) else {}
    parts = {"status": answer.get("status"), **{key: body.get(key) for key in ("app", "path", "method", "body")}}
    parts["headers"] = _named(answer.get("headers", {}), expected.get("headers", {}))
    parts["sent"] = _named(body.get("headers", {}), expected.get("sent", {}))
    return {key: parts[key] for key in expected}


def _named(headers: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: headers.get(name) for name in names}


@pytest.mark.parametrize(
    ("method", "metadata", "app"),
    [
        ("/shop.Pricing/Prices", {}, "two"),
        ("/shop.Stock/Level", {}, "one"),
        ("/shop.Stock/Level", {"x-beta": "1"}, "one"),  # a method says more than a header
        ("/shop.Other/Call", {"x-beta": "1"}, "two"),
    ],
)
def test_grpc_routes(clients: Clients, method: str, metadata: Mapping[str, str], app: str) -> None:
    answer = clients.north.ask(kind="grpc", target="calls:9090", method=method, message={}, metadata=metadata)
    assert answer.get("reply", answer).get("app") == app, answer


def test_a_grpc_call_that_no_rule_takes_is_unimplemented(clients: Clients) -> None:
    answer = clients.north.ask(kind="grpc", target="calls:9090", method="/shop.Other/Call", message={})
    assert answer["code"] == "UNIMPLEMENTED"


def test_tcp_routes_share_out_connections(clients: Clients) -> None:
    answers = (clients.north.ask(kind="tcp", host="lines", port=9000, send="hello\n") for _ in range(200))
    counts = Counter(answer["received"] for answer in answers)
    assert set(counts) == {"one hello\n", "two hello\n"}
    assert 120 <= counts["two hello\n"] <= 178  # three in four, give or take four standard deviations


def test_a_service_with_ports_of_every_kind_serves_them_all(clients: Clients) -> None:
    assert clients.north.get("http://two:8080/")["body"]["app"] == "two"
    assert clients.north.ask(kind="tcp", host="two", port=9000, send="hello\n")["received"] == "two hello\n"
    answer = clients.north.ask(kind="grpc", target="two:9090", method="/a.B/C", message={})
    assert answer["reply"]["app"] == "two"


def test_a_consumer_route_changes_what_its_own_namespace_calls(clients: Clients) -> None:
    assert clients.south.get("http://paths.north:8080/")["body"]["headers"]["x-consumer"] == "south"


def test_a_consumer_route_changes_nothing_for_others(clients: Clients) -> None:
    assert "x-consumer" not in clients.north.get("http://paths.north:8080/")["body"]["headers"]


def test_a_grant_that_is_withdrawn_closes_the_way(clients: Clients) -> None:
    clients.mesh.ok("delete", "referencegrant", "north", "-n", "south")
    try:
        until(lambda: clients.north.get("http://granted:8080/granted")["status"] == 500, "the way is closed")
    finally:
        clients.mesh.apply(manifest(GRANT))
    until(lambda: clients.north.get("http://granted:8080/granted")["status"] == 200, "the way is open")


def test_routes_say_what_they_refer_to_in_vain(clients: Clients) -> None:
    said = clients.mesh.ok("describe", "httproute", "missing", "-n", "north")
    assert "BackendNotFound" in said
    assert "RefNotPermitted" in clients.mesh.ok("describe", "httproute", "granted", "-n", "north")
