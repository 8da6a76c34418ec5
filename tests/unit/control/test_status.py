from msgspec.structs import replace
from tests.fakes import mesh
from tests.unit.control.conftest import Plane

from tulle.api import Status
from tulle.control.status import Statuses
from tulle.model.conditions import Condition
from tulle.model.http_filters import HTTPRouteFilter
from tulle.model.http_route import HTTPRouteRule
from tulle.model.keys import ClusterKey, ListenerKey, VirtualHostKey
from tulle.model.kinds import Resource
from tulle.model.mesh import MeshSpec
from tulle.model.names import ObjectRef, ProxyId, ServiceName, ServicePort, WorkloadName
from tulle.store.protocol import Put
from tulle.xds.names import name_of

CATALOG, WEB = mesh.service("catalog"), mesh.workload("web-1", "web")
ROUTE = mesh.http_route("r", HTTPRouteRule(backend_refs=(mesh.http_backend("catalog"),)))
HOST = VirtualHostKey("shop", "catalog:8080")
ONE, TWO = ProxyId("n1", WorkloadName("shop", "web-1")), ProxyId("n2")


def by_type(status: Status) -> dict[str, Condition]:
    return {c.type: c for c in (status.parents[0].conditions if status.parents else status.conditions)}


def of(plane: Plane, resource: Resource) -> dict[str, Condition]:
    return by_type(plane.statuses.of(resource.ref))


async def test_what_is_not_there_has_no_status(plane: Plane):
    assert plane.statuses.of(CATALOG.ref) == Status()


async def test_what_cannot_be_read_says_why(plane: Plane):
    (event,) = await plane.store.write([Put(CATALOG.ref, b'{"apiVersion":"v1","kind":"Service","x":1}')])
    await plane.reached(event.revision)
    found = of(plane, CATALOG)
    assert list(found) == ["Accepted"]
    assert (found["Accepted"].status, found["Accepted"].reason) == ("False", "Invalid")
    assert found["Accepted"].message


async def test_a_good_object_is_accepted_and_programmed(plane: Plane):
    await plane.write(CATALOG, WEB)
    for resource in (CATALOG, WEB):
        assert {c.type: c.status for c in of(plane, resource).values()} == {"Accepted": "True", "Programmed": "True"}


async def test_a_route_has_the_status_of_each_parent(plane: Plane):
    route = mesh.http_route("r", HTTPRouteRule(), parents=[mesh.parent("catalog"), mesh.parent("gone")])
    await plane.write(CATALOG, route)
    parents = plane.statuses.of(route.ref).parents
    assert [[c.type for c in p.conditions] for p in parents] == [["Accepted", "ResolvedRefs", "Programmed"]] * 2
    assert [p.conditions[0].status for p in parents] == ["True", "False"]


async def test_what_is_not_served_is_said(plane: Plane):
    service = replace(CATALOG, spec=replace(CATALOG.spec, session_affinity="ClientIP"))
    await plane.write(service)
    accepted = of(plane, service)["Accepted"]
    assert (accepted.status, accepted.reason) == ("False", "UnsupportedValue")


async def test_an_app_that_no_node_runs_is_not_accepted(plane: Plane):
    await plane.write(mesh.app("a", node=""), mesh.app("b"))
    assert of(plane, mesh.app("a"))["Accepted"].reason == "NoNode"
    assert of(plane, mesh.app("b"))["Accepted"].status == "True"


async def test_a_service_that_declares_anothers_address_is_told_whose_it_is(plane: Plane):
    owner, other = mesh.service("zebra", address="240.240.0.1"), mesh.service("catalog", address="240.240.0.1")
    await plane.write(owner)
    await plane.write(other)
    assert of(plane, owner)["Accepted"].status == "True"
    accepted = of(plane, other)["Accepted"]
    assert (accepted.status, accepted.reason) == ("False", "AddressTaken")
    assert "zebra.shop" in accepted.message


async def test_a_workload_that_a_service_refuses_is_told_which_and_why(plane: Plane):
    stranger = mesh.workload("web-1", "catalog", account="web")
    await plane.write(mesh.service("catalog"), mesh.app("catalog"), stranger)
    accepted = of(plane, stranger)["Accepted"]
    assert (accepted.status, accepted.reason) == ("False", "ServiceAccountNotExpected")
    assert "catalog.shop" in accepted.message
    await plane.write(mesh.app("catalog", account="web"))
    assert of(plane, stranger)["Accepted"].status == "True"


class TestWhatAProxyRefuses:
    def programmed(self, plane: Plane, resource: Resource) -> Condition:
        return of(plane, resource)["Programmed"]

    def refuse(self, plane: Plane, key: ClusterKey | ListenerKey | VirtualHostKey, words: str, who: ProxyId) -> None:
        plane.compiler.resource(key)
        plane.rejections.refused(who, *name_of(key), words)

    async def test_is_on_the_route_in_the_proxys_words(self, plane: Plane):
        await plane.write(CATALOG, ROUTE)
        self.refuse(plane, HOST, "no such regex", ONE)
        found = self.programmed(plane, ROUTE)
        assert (found.status, found.reason) == ("False", "RejectedByProxy")
        assert found.message == "sidecar~n1~shop~web-1: no such regex"
        assert self.programmed(plane, CATALOG).status == "True"

    async def test_is_said_once_by_all_who_say_the_same(self, plane: Plane):
        await plane.write(CATALOG, ROUTE)
        self.refuse(plane, HOST, "bad", TWO)
        self.refuse(plane, HOST, "bad", ONE)
        other = VirtualHostKey("shop", "catalog.shop:8080")
        self.refuse(plane, other, "worse", TWO)
        assert self.programmed(plane, ROUTE).message == "node~n2, sidecar~n1~shop~web-1: bad; node~n2: worse"

    async def test_is_over_when_it_takes_the_resource(self, plane: Plane):
        await plane.write(CATALOG, ROUTE)
        self.refuse(plane, HOST, "bad", ONE)
        type_url, name = name_of(HOST)
        plane.rejections.over(ONE, type_url, {name: "2"})
        assert self.programmed(plane, ROUTE).status == "True"

    async def test_is_on_the_service_where_there_is_no_route(self, plane: Plane):
        cart, one = mesh.service("cart"), mesh.workload("catalog-1", "catalog")
        await plane.write(CATALOG, cart, one, mesh.mesh(MeshSpec()))
        self.refuse(plane, ClusterKey(ServicePort(ServiceName("shop", "catalog"), 8080)), "bad", ONE)
        assert self.programmed(plane, CATALOG).status == "False"
        assert self.programmed(plane, cart).status == "True"
        assert self.programmed(plane, one).status == "True"
        assert self.programmed(plane, mesh.mesh(MeshSpec())).status == "True"

    async def test_is_on_the_workload_whose_listener_it_is(self, plane: Plane):
        await plane.write(WEB)
        self.refuse(plane, ListenerKey(WorkloadName("shop", "web-1"), "outbound"), "bad", ONE)
        assert self.programmed(plane, WEB).message == "sidecar~n1~shop~web-1: bad"

    async def test_without_a_meaning_is_on_nothing(self, plane: Plane):
        await plane.write(CATALOG)
        plane.rejections.refused(ONE, "unknown", "name", "bad")
        assert self.programmed(plane, CATALOG).status == "True"


async def test_the_generation_is_the_objects(plane: Plane):
    mirrored = HTTPRouteRule(filters=(HTTPRouteFilter("CORS"),))
    for resource in (CATALOG, mesh.app("a", node=""), mesh.http_route("r", mirrored)):
        changed = mesh.http_route("r", HTTPRouteRule()) if resource.kind == "HTTPRoute" else service_or_app(resource)
        for declared, generation in ((resource, 1), (labelled(resource), 1), (changed, 2)):
            await plane.write(declared)
            assert {c.observed_generation for c in of(plane, declared).values()} == {generation}


def labelled(resource: Resource) -> Resource:
    # Of what a file says about it nothing counts.
    return replace(resource, metadata=replace(resource.metadata, labels={"tier": "front"}, generation=7))


def service_or_app(resource: Resource) -> Resource:
    port = {"ports": ()} if resource.kind == "Service" else {"replicas": 9}
    return replace(resource, spec=replace(resource.spec, **port))


async def test_the_generation_of_what_cannot_be_read_is_that_of_what_is_stored(plane: Plane):
    await plane.write(CATALOG)
    (event,) = await plane.store.write([Put(CATALOG.ref, b'{"apiVersion":"v1","kind":"Service","x":1}')])
    await plane.reached(event.revision)
    assert of(plane, CATALOG)["Accepted"].observed_generation == 2


def test_statuses_are_computed_from_what_is_there_now(plane: Plane):
    assert isinstance(plane.statuses, Statuses)
    assert plane.statuses.of(ObjectRef("v1", "Service", "shop", "x")) == Status()
