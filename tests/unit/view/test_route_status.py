import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.conditions import ACCEPTED, RESOLVED_REFS, Condition
from tulle.model.http_filters import HTTPRequestMirrorFilter, HTTPRouteFilter
from tulle.model.http_route import HTTPRouteRule
from tulle.model.kinds import Resource
from tulle.model.references import BackendRef, ParentReference
from tulle.model.snapshot import build
from tulle.view.backends import Route
from tulle.view.reader import Reader
from tulle.view.route_status import parent_statuses

CATALOG = mesh.service("catalog")
TO_CATALOG = HTTPRouteRule(backend_refs=(mesh.http_backend("catalog"),))


def conditions(route: Route, *resources: Resource) -> list[dict[str, Condition]]:
    statuses = parent_statuses(Reader(build([CATALOG, *resources])), route)
    assert [s.parent_ref for s in statuses] == list(route.spec.parent_refs)
    return [{c.type: c for c in s.conditions} for s in statuses]


def accepted(parent: ParentReference, *resources: Resource, namespace: str = "shop") -> Condition:
    (found,) = conditions(mesh.http_route("r", TO_CATALOG, parents=[parent], namespace=namespace), *resources)
    return found[ACCEPTED]


def test_a_route_at_its_parent_is_accepted():
    found = accepted(mesh.parent("catalog"))
    assert (found.status, found.reason) == ("True", "Accepted")
    assert found.message == "applies to every client of catalog.shop"


def test_a_consumers_route_says_whom_it_is_for():
    found = accepted(mesh.parent("catalog", namespace="shop"), namespace="bank")
    assert found.message == "applies to clients in namespace bank that call catalog.shop"


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        (mesh.parent("nobody"), "service nobody.shop does not exist"),
        (mesh.parent("catalog", port=81), "service catalog.shop has no port 81"),
        (mesh.parent("catalog", section="admin"), "service catalog.shop has no port admin"),
        (ParentReference("edge"), "Gateway is not served here"),
    ],
)
def test_a_route_without_its_parent_is_not(parent: ParentReference, words: str):
    found = accepted(parent)
    assert (found.status, found.reason) == ("False", "NoMatchingParent")
    assert words in found.message


def test_each_parent_has_a_status_of_its_own():
    route = mesh.http_route("r", TO_CATALOG, parents=[mesh.parent("nobody"), mesh.parent("catalog")])
    assert [c[ACCEPTED].status for c in conditions(route)] == ["False", "True"]


def test_what_is_not_served_is_said():
    mirror = HTTPRouteFilter("RequestMirror", request_mirror=HTTPRequestMirrorFilter(mesh.http_backend("catalog")))
    (found,) = conditions(mesh.http_route("r", replace(TO_CATALOG, filters=(mirror,))))
    assert (found[ACCEPTED].status, found[ACCEPTED].reason) == ("False", "UnsupportedValue")
    assert "RequestMirror" in found[ACCEPTED].message


def test_the_generation_is_the_routes():
    route = mesh.http_route("r", TO_CATALOG)
    route = replace(route, metadata=replace(route.metadata, generation=7))
    assert {c.observed_generation for c in conditions(route)[0].values()} == {7}


def test_references_that_lead_somewhere_are_resolved():
    assert conditions(mesh.http_route("r", TO_CATALOG))[0][RESOLVED_REFS].status == "True"


@pytest.mark.parametrize(
    ("route", "reason", "words"),
    [
        (
            mesh.http_route("r", TO_CATALOG, HTTPRouteRule(backend_refs=(mesh.http_backend("nobody"),))),
            "BackendNotFound",
            "spec.rules[1].backendRefs[0] (nobody): BackendNotFound",
        ),
        (
            mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("ledger", namespace="bank"),))),
            "RefNotPermitted",
            "spec.rules[0].backendRefs[0] (ledger): RefNotPermitted",
        ),
        (
            mesh.tcp_route("r", BackendRef(name="catalog", kind="Pod", port=1), BackendRef(name="x", port=1)),
            "InvalidKind",
            "spec.rules[0].backendRefs[1] (x): BackendNotFound",
        ),
    ],
)
def test_references_that_lead_nowhere_are_named(route: Route, reason: str, words: str):
    found = conditions(route)[0][RESOLVED_REFS]
    assert (found.status, found.reason) == ("False", reason)
    assert words in found.message


class TestBesideAGrpcRoute:
    RIVAL = mesh.grpc_route("g", parents=[mesh.parent("catalog")])

    def test_an_http_route_on_the_same_port_is_not_used_and_says_so(self):
        found = accepted(mesh.parent("catalog"), self.RIVAL)
        assert (found.status, found.reason) == ("False", "Conflicted")
        assert "GRPCRoute/shop/g" in found.message

    def test_one_on_another_port_is(self):
        found = accepted(mesh.parent("catalog"), mesh.grpc_route("g", parents=[mesh.parent("catalog", port=9999)]))
        assert found.status == "True"

    def test_a_consumers_route_does_not_hear_of_a_producers(self):
        assert accepted(mesh.parent("catalog", namespace="shop"), self.RIVAL, namespace="bank").status == "True"
