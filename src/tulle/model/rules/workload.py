"""Rules for workloads."""

from collections.abc import Iterator

from tulle.model.problem import Problem
from tulle.model.rules.addresses import is_address
from tulle.model.rules.unique import repeated
from tulle.model.workload import WorkloadSpec


def workload_problems(spec: WorkloadSpec) -> Iterator[Problem]:
    if not is_address(spec.address):
        yield Problem(
            "spec.address", f'"{spec.address}" is no IP address', "names are not looked up: write the address"
        )
    if spec.network and not spec.network.startswith("/"):
        yield Problem("spec.network", "must be the whole path of a network namespace", "such as /run/netns/name")
    yield from repeated((port.name for port in spec.ports), "spec.ports", "name")
    yield from repeated((port.port for port in spec.ports), "spec.ports", "port")
