from collections.abc import Callable

import pytest

WORKLOAD = (
    "{{apiVersion: tulle.dev/v1alpha1, kind: Workload, metadata: {{name: a}}, spec: {{meshPort: 15008, {spec}}}}}"
)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("address: 1.2.3", "spec.address"),
        ("address: 127.0.0.1, network: a", "spec.network"),
        ("address: 127.0.0.1, ports: [{port: 1, name: a}, {port: 2, name: a}]", "spec.ports[1].name"),
        ("address: 127.0.0.1, ports: [{port: 1}, {port: 1}]", "spec.ports[1].port"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], spec: str, path: str) -> None:
    assert list(mistakes(WORKLOAD.format(spec=spec))) == [path]


def test_accepts(mistakes: Callable[[str], dict[str, str]]) -> None:
    spec = "address: '2001:db8::1', network: /run/a, mode: node, weight: 0, state: Draining, ports: [{port: 1}]"
    assert mistakes(WORKLOAD.format(spec=spec)) == {}
