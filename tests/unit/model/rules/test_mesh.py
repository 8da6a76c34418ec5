from collections.abc import Callable

import pytest

MESH = "{{apiVersion: tulle.dev/v1alpha1, kind: Mesh, metadata: {{name: default}}, spec: {{{spec}}}}}"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("trustDomain: Example", "spec.trustDomain"),
        ("trustDomain: 'spiffe://a'", "spec.trustDomain"),
        ("dns: {domains: [a, a]}", "spec.dns.domains[1]"),
        ("dns: {upstreams: [dns.example.com]}", "spec.dns.upstreams[0]"),
        ("dns: {upstreams: ['192.0.2.1:70000']}", "spec.dns.upstreams[0]"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], spec: str, path: str) -> None:
    assert list(mistakes(MESH.format(spec=spec))) == [path]


def test_accepts(mistakes: Callable[[str], dict[str, str]]) -> None:
    upstreams = "[192.0.2.1, '192.0.2.1:53', '[2001:db8::1]:53', '2001:db8::1']"
    spec = (
        f"trustDomain: a.b, outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}, dns: {{upstreams: {upstreams}}}, mode: node"
    )
    assert mistakes(MESH.format(spec=spec)) == {}
