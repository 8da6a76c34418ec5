import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.model.keys import EndpointsKey
from tulle.model.kinds import Resource
from tulle.model.names import ServiceName, ServicePort, WorkloadName, WorkloadPort
from tulle.model.service import ServicePortSpec
from tulle.model.snapshot import build
from tulle.model.workload import WorkloadState
from tulle.view.endpoints import endpoints
from tulle.view.reader import Reader
from tulle.view.types import EndpointView

KEY = EndpointsKey(ServicePort(ServiceName("shop", "catalog"), 8080))


def instances(*resources: Resource) -> list[EndpointView]:
    view = endpoints(Reader(build(resources)), KEY)
    assert view is not None and view.key == KEY
    (group,) = view.groups
    assert group.weight == 1
    return list(group.endpoints)


def service(target: int | str | None = None) -> Resource:
    return mesh.service("catalog", [replace(mesh.HTTP, target_port=target)])


def test_an_instance_is_its_mesh_address_and_the_port_inside():
    (found,) = instances(service(), mesh.workload("catalog-1", "catalog", address="fd00::1", mesh_port=15109))
    assert found == EndpointView("fd00::1", 15109, WorkloadPort(WorkloadName("shop", "catalog-1"), 8080))


@pytest.mark.parametrize(
    ("state", "kept", "draining"),
    [("Starting", False, False), ("Ready", True, False), ("NotReady", False, False), ("Draining", True, True)],
)
def test_only_who_takes_or_finishes_requests_is_there(state: WorkloadState, kept: bool, draining: bool):
    found = instances(service(), mesh.workload("catalog-1", "catalog", state=state))
    assert [e.draining for e in found] == ([draining] if kept else [])


def test_instances_come_in_order_of_name():
    workloads = [mesh.workload(f"catalog-{n}", "catalog") for n in (3, 1, 2)]
    assert [e.target.workload.name for e in instances(service(), *workloads)] == [f"catalog-{n}" for n in (1, 2, 3)]


def test_a_target_port_is_a_number():
    (found,) = instances(service(80), mesh.workload("catalog-1", "catalog", ports={"http": 8081}))
    assert found.target.port == 80


def test_a_named_target_port_is_each_workloads_own():
    one = mesh.workload("catalog-1", "catalog", ports={"web": 8081, "admin": 9})
    two = mesh.workload("catalog-2", "catalog", ports={"web": 8082})
    none = mesh.workload("catalog-3", "catalog", ports={"http": 8083})
    assert [e.target.port for e in instances(service("web"), one, two, none)] == [8081, 8082]


def test_a_service_without_instances_has_an_empty_group():
    assert instances(service()) == []


@pytest.mark.parametrize("port", [81, 0])
def test_a_port_that_the_service_lacks_has_no_view(port: int):
    reader = Reader(build([service()]))
    assert endpoints(reader, EndpointsKey(ServicePort(KEY.port.service, port))) is None


def test_a_service_that_is_not_there_has_no_view():
    assert endpoints(Reader(build([])), KEY) is None


def test_each_port_of_a_service_has_instances_of_its_own():
    two = mesh.service("catalog", [mesh.HTTP, ServicePortSpec(81, "http-admin", target_port="admin")])
    reader = Reader(build([two, mesh.workload("catalog-1", "catalog", ports={"admin": 9})]))
    view = endpoints(reader, EndpointsKey(ServicePort(KEY.port.service, 81)))
    assert view is not None and [e.target.port for e in view.groups[0].endpoints] == [9]


def test_a_workloads_weight_is_its_share():
    one = mesh.workload("catalog-1", "catalog")
    heavy = replace(one, spec=replace(one.spec, weight=7))
    assert [e.weight for e in instances(service(), heavy)] == [7]
