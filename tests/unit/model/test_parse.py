import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.duration import Duration
from tulle.model.http_route import ANY_REQUEST, HTTPRoute
from tulle.model.kinds import KINDS, Kind, Resource
from tulle.model.names import ObjectRef
from tulle.model.parse import InvalidResource, decode_json, encode_json, parse_yaml
from tulle.model.problem import Problem
from tulle.model.service import Service

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: catalog
spec:
  selector: {app: catalog}
  ports:
  - port: 80
    targetPort: http
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: catalog, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog}]
  rules:
  - backendRefs: [{name: catalog, port: 80}]
    timeouts: {request: 90s}
"""
BROKEN = """\
apiVersion: v1
kind: Service
metadata:
  name: broken
spec:
  selector: {app: true}
  portz: []
  ports:
  - port: "80"
  - name: b
    port: 70000
"""


def only(text: str) -> Resource:
    parsed, problems = parse_yaml(text, "f.yaml")
    assert problems == ()
    (one,) = parsed
    return one.resource


def texts(text: str) -> list[str]:
    return [str(problem) for problem in parse_yaml(text, "f.yaml")[1]]


def test_reads_several_documents_with_their_lines() -> None:
    parsed, problems = parse_yaml(f"{SERVICE}---\n{ROUTE}", "f.yaml")
    assert problems == ()
    assert [(str(p.resource.ref), p.file, p.line) for p in parsed] == [
        ("Service/default/catalog", "f.yaml", 1),
        ("HTTPRoute/shop/catalog", "f.yaml", 11),
    ]
    service, route = parsed[0].resource, parsed[1].resource
    assert isinstance(service, Service) and service.spec.ports[0].target == "http"
    assert isinstance(route, HTTPRoute) and route.spec.rules[0].timeouts
    assert route.spec.rules[0].timeouts.request == Duration(seconds=90)
    assert route.spec.rules[0].matches == ANY_REQUEST


def test_says_everything_that_is_wrong() -> None:
    assert texts(f"{SERVICE}---\n{BROKEN}") == [
        'f.yaml:16: Service/default/broken: spec.selector.app: must be text, not true (write it in quotes: "true")',
        "f.yaml:17: Service/default/broken: spec.portz: unknown field `portz` (did you mean `ports`?)",
        "f.yaml:19: Service/default/broken: spec.ports[0].port: must be a whole number,"
        ' not "80" (write 80 without quotes)',
        "f.yaml:21: Service/default/broken: spec.ports[1].port: must be a port from 1 to 65535; 70000 is not",
    ]
    assert len(parse_yaml(f"{SERVICE}---\n{BROKEN}", "f.yaml")[0]) == 1


def test_unknown_fields_do_not_hide_what_the_rules_say() -> None:
    text = ROUTE.replace("  - backendRefs", "  - timeout: 1s\n    matches: [{path: {value: a}}]\n    backendRefs")
    assert [problem.split(": ", 2)[2] for problem in texts(text)] == [
        "spec.rules[0].timeout: unknown field `timeout` (did you mean `timeouts`?)",
        'spec.rules[0].matches[0].path.value: must start with "/"; "a" does not (write /a)',
    ]


def test_the_namespace_is_the_one_given_where_none_is_named() -> None:
    parsed, _ = parse_yaml(f"{SERVICE}---\n{ROUTE}", "f.yaml", namespace="test")
    assert [p.resource.metadata.namespace for p in parsed] == ["test", "shop"]


def test_reads_lists() -> None:
    item = SERVICE.replace("\n", "\n  ").rstrip()
    parsed, problems = parse_yaml(f"apiVersion: v1\nkind: List\nitems:\n- {item}\n- 5\n", "f.yaml")
    assert [(str(p.resource.ref), p.line) for p in parsed] == [("Service/default/catalog", 4)]
    assert [(p.path, p.line) for p in problems] == [("", 13)]


def test_one_name_twice_is_a_problem() -> None:
    assert texts(f"{SERVICE}---\n{SERVICE}") == [
        "f.yaml:11: Service/default/catalog: is declared twice, first in line 1 (keep one)"
    ]


def test_null_is_absent_and_status_is_dropped() -> None:
    text = SERVICE.replace("  ports", "  clusterIP:\n  ports") + "status: {loadBalancer: {}}\n"
    assert only(text.replace("  name: catalog", "  name: catalog\n  creationTimestamp: null")) == only(SERVICE)


def test_older_versions_are_read_as_the_kept_one() -> None:
    for version in ("v1", "v1alpha2"):
        text = ROUTE.replace("HTTPRoute", "TCPRoute").replace("    timeouts: {request: 90s}\n", "")
        text = text.replace("/v1\n", f"/{version}\n")
        parsed, problems = parse_yaml(text, "f.yaml")
        assert problems == ()
        assert parsed[0].resource.ref == ObjectRef("gateway.networking.k8s.io/v1", "TCPRoute", "shop", "catalog")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1", "kind: `kind` is missing"),
        ("kind: Servise", "kind: there is no kind `Servise` (did you mean `Service`?)"),
        ("kind: Service", "apiVersion: `apiVersion` is missing (write apiVersion: v1)"),
        ("{kind: Service, apiVersion: v2}", 'apiVersion: Service is not in "v2" (write apiVersion: v1)'),
        ("5", "a resource must be a mapping of fields, not 5 (start it with apiVersion, kind and metadata)"),
        ("{kind: [1], apiVersion: 5}", "kind: `kind` is missing"),
    ],
)
def test_what_is_no_resource(text: str, problem: str) -> None:
    assert problem in texts(text)[0]


def test_json_round_trips() -> None:
    for resource in (only(SERVICE), only(ROUTE)):
        body = encode_json(resource)
        assert decode_json(body) == resource
        assert encode_json(decode_json(body)) == body
    assert b'"request":"1m30s"' in encode_json(only(ROUTE))
    assert encode_json(only(SERVICE)).startswith(b'{"kind":"Service",')


def test_json_is_the_same_whatever_the_order_of_labels() -> None:
    one = only(SERVICE.replace("{app: catalog}", "{app: catalog, tier: a}"))
    other = only(SERVICE.replace("{app: catalog}", "{tier: a, app: catalog}"))
    assert encode_json(one) == encode_json(other)


@pytest.mark.parametrize("body", [b"", b"{", b"5", b"\xff", b'{"kind":"Service"}', b"[" * 100_000, b'"\xed\xa0\x80"'])
def test_what_is_no_json_resource_says_why(body: bytes) -> None:
    with pytest.raises(InvalidResource) as caught:
        decode_json(body)
    assert caught.value.problems
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)


def test_json_says_everything_that_is_wrong() -> None:
    body = b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"A"},"spec":{"ports":[{"port":0}],"x":1}}'
    with pytest.raises(InvalidResource) as caught:
        decode_json(body)
    assert {problem.path for problem in caught.value.problems} == {"metadata.name", "spec.ports[0].port", "spec.x"}


@given(st.text())
def test_any_text_gives_values(text: str) -> None:
    parse_yaml(text, "f.yaml")


NAMES = st.sampled_from(["name", "ports", "rules", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(st.sampled_from(KINDS), JSON, JSON, st.booleans())
def test_any_spec_gives_a_resource_or_problems(kind: Kind, metadata: object, spec: object, named: bool) -> None:
    metadata = {"name": "a"} if named else metadata
    value = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    body = msgspec.json.encode(value)
    try:
        decode_json(body)
    except InvalidResource as invalid:
        assert invalid.problems
    parsed, problems = parse_yaml(body.decode(), "f.yaml")
    assert parsed or problems


@given(st.binary())
def test_any_bytes_give_a_resource_or_problems(body: bytes) -> None:
    with pytest.raises(InvalidResource) as caught:
        decode_json(body)
    assert caught.value.problems
