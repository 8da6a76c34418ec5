"""Rules for the mesh."""

from collections.abc import Iterator

from tulle.model.dns_server import dns_server
from tulle.model.mesh import MeshSpec
from tulle.model.problem import Problem
from tulle.model.rules.unique import repeated


def mesh_problems(spec: MeshSpec) -> Iterator[Problem]:
    yield from repeated(spec.dns.domains, "spec.dns.domains")
    for index, upstream in enumerate(spec.dns.upstreams):
        if dns_server(upstream) is None:
            hint = "write it like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
            yield Problem(f"spec.dns.upstreams[{index}]", f'"{upstream}" is no address of a DNS server', hint)
