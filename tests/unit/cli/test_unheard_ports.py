"""A port that nobody declares is told, one that may be fine is not."""

import pytest
from msgspec.structs import replace
from tests.fakes import mesh

from tulle.api import AuthorityState
from tulle.cli.overview import Overview
from tulle.cli.relations import relations
from tulle.cli.unheard_ports import unheard_ports
from tulle.model.app import AppPort
from tulle.model.kinds import Resource
from tulle.model.problem import Problem
from tulle.model.service import Service, ServicePortSpec
from tulle.model.snapshot import build


def service(*ports: ServicePortSpec) -> Service:
    made = mesh.service("web")
    return replace(made, spec=replace(made.spec, selector={"app": "web"}, ports=ports))


def app(**ports: int) -> Resource:
    made = mesh.app("web")
    return replace(made, spec=replace(made.spec, ports=tuple(AppPort(port, name) for name, port in ports.items())))


def unheard(of: Service, *others: Resource) -> list[Problem]:
    made = build([*others, of])
    return list(unheard_ports(made, of))


@pytest.mark.parametrize("declaring", [app(http=8080), mesh.workload("web-1", "web", ports={"http": 8080})])
@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (ServicePortSpec(8080), []),
        (ServicePortSpec(80, target_port=8080), []),
        (ServicePortSpec(80, target_port="http"), []),
        (ServicePortSpec(80), ["spec.ports[0].port"]),
        (ServicePortSpec(80, target_port=8081), ["spec.ports[0].targetPort"]),
        (ServicePortSpec(80, target_port="web"), ["spec.ports[0].targetPort"]),
    ],
)
def test_targets_are_sought_among_declared_ports(
    declaring: Resource, port: ServicePortSpec, expected: list[str]
) -> None:
    found = unheard(service(port), declaring)
    assert [problem.path for problem in found] == expected
    assert all(problem.hint == "they declare 8080 (http)" for problem in found)


def test_nothing_is_said_where_nobody_declares_a_port() -> None:
    number = service(ServicePortSpec(80))
    assert unheard(number, app()) == []
    name = service(ServicePortSpec(80, target_port="http"))
    (problem,) = unheard(name, app())
    assert problem.hint == "they declare none"


def test_nothing_is_said_of_a_service_that_selects_nobody() -> None:
    other = mesh.workload("api-1", "api", ports={"http": 8080})
    assert unheard(service(ServicePortSpec(80)), other) == []


def test_apps_are_found_by_their_labels_and_not_by_a_look_at_all() -> None:
    made = build([app(http=8080), service(ServicePortSpec(80))])
    assert [label for label, apps in made.labelled_apps.items() if apps] == [("shop", "app", "web")]
    assert list(unheard_ports(replace(made, labelled_apps={}), service(ServicePortSpec(80)))) == []


def test_every_label_of_the_selector_counts() -> None:
    wanted = service(ServicePortSpec(80))
    spec = replace(wanted.spec, selector={"app": "web", "version": "v2"})
    assert unheard(replace(wanted, spec=spec), app(http=8080)) == []


def test_describe_warns() -> None:
    wrong = service(ServicePortSpec(80))
    state = Overview((), build([app(http=8080), wrong]), (), (), AuthorityState("tulle.local", "", 0))
    warnings = relations(state, wrong)[-1]
    assert warnings.title == "Warnings"
    assert warnings.rows == (
        ("spec.ports[0].port", "none of those that it selects declares port 80", "they declare 8080 (http)"),
    )
