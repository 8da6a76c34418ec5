"""Rules for the mesh."""

import re
from collections.abc import Iterator

from tulle.model.mesh import MeshSpec
from tulle.model.problem import Problem
from tulle.model.rules.addresses import is_address
from tulle.model.rules.unique import repeated

_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})")


def mesh_problems(spec: MeshSpec) -> Iterator[Problem]:
    yield from repeated(spec.dns.domains, "spec.dns.domains")
    for index, upstream in enumerate(spec.dns.upstreams):
        if not _is_upstream(upstream):
            hint = "write it like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
            yield Problem(f"spec.dns.upstreams[{index}]", f'"{upstream}" is no address of a DNS server', hint)


def _is_upstream(text: str) -> bool:
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        return is_address(text)
    return is_address(found[1] or found[2]) and 1 <= int(found[3]) <= 65535
