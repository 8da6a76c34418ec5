import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.http_route import HTTPBackendRef, HTTPRouteRule
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, ServicePort
from tulle.model.snapshot import build
from tulle.view.backends import Route, refusal, target
from tulle.view.reader import Reader

CATALOG = mesh.service("catalog")
LEDGER = mesh.service("ledger", namespace="bank")
TO_LEDGER = mesh.http_backend("ledger", namespace="bank")


def refused(ref: HTTPBackendRef, *resources: Resource, route: Route | None = None) -> str:
    used = route or mesh.http_route("r", HTTPRouteRule(backend_refs=(ref,)))
    reader = Reader(build([CATALOG, LEDGER, *resources]))
    reason = refusal(reader, used, ref)
    assert (target(reader, used, ref) is None) is bool(reason)
    return reason


def test_a_reference_means_the_port_of_a_service():
    route = mesh.http_route("r", HTTPRouteRule())
    reader = Reader(build([CATALOG]))
    assert target(reader, route, mesh.http_backend("catalog")) == ServicePort(ServiceName("shop", "catalog"), 8080)


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (mesh.http_backend("catalog"), ""),
        (mesh.http_backend("catalog", namespace="shop"), ""),
        (mesh.http_backend("nobody"), "BackendNotFound"),
        (mesh.http_backend("catalog", port=81), "BackendNotFound"),
        (HTTPBackendRef(name="catalog"), "BackendNotFound"),
        (replace(mesh.http_backend("catalog"), kind="Pod"), "InvalidKind"),
        (replace(mesh.http_backend("catalog"), group="multicluster.x-k8s.io"), "InvalidKind"),
        (replace(mesh.http_backend("catalog"), group="x", kind="Service"), "InvalidKind"),
    ],
)
def test_what_leads_nowhere_says_why(ref: HTTPBackendRef, reason: str):
    assert refused(ref) == reason


class TestAnotherNamespace:
    def test_has_to_grant_it(self):
        assert refused(TO_LEDGER) == "RefNotPermitted"

    def test_is_not_asked_what_there_is_before_it_grants(self):
        """Whether a service exists is none of the business of who may not refer to it."""
        assert refused(mesh.http_backend("nobody", namespace="bank")) == "RefNotPermitted"

    @pytest.mark.parametrize(
        ("grant", "reason"),
        [
            (mesh.grant("bank"), ""),
            (mesh.grant("bank", to="ledger"), ""),
            (mesh.grant("bank", to="vault"), "RefNotPermitted"),
            (mesh.grant("bank", source="street"), "RefNotPermitted"),
            (mesh.grant("bank", kind="GRPCRoute"), "RefNotPermitted"),
            (mesh.grant("bank", target_kind="Secret"), "RefNotPermitted"),
            (mesh.grant("shop", source="shop"), "RefNotPermitted"),
            (mesh.grant("street"), "RefNotPermitted"),
        ],
    )
    def test_grants_to_whom_and_for_what_it_says(self, grant: Resource, reason: str):
        assert refused(TO_LEDGER, grant) == reason

    def test_grants_by_any_of_its_grants(self):
        other = mesh.grant("bank", kind="TCPRoute")
        second = mesh.grant("bank")
        second = replace(second, metadata=replace(second.metadata, name="second"))
        assert refused(TO_LEDGER, other, second) == ""

    def test_need_not_grant_what_the_route_is_about(self):
        """A consumer route sends requests for a service to that service, which its clients could call anyway."""
        consumer = mesh.http_route("r", HTTPRouteRule(), parents=[mesh.parent("ledger", namespace="bank")])
        assert refused(TO_LEDGER, route=consumer) == ""
        vault = mesh.service("vault", namespace="bank")
        assert refused(mesh.http_backend("vault", namespace="bank"), vault, route=consumer) == "RefNotPermitted"
