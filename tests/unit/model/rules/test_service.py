from collections.abc import Callable

import pytest

SERVICE = "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}"


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ("clusterIP: None, ports: [{port: 80}]", "spec.clusterIP", "headless services are not served yet"),
        ("clusterIP: 1.2.3, ports: [{port: 80}]", "spec.clusterIP", '"1.2.3" is no IP address'),
        ("clusterIPs: [1.2.3], ports: [{port: 80}]", "spec.clusterIPs[0]", '"1.2.3" is no IP address'),
        ("ports: []", "spec.ports", "at least one port"),
        ("type: ExternalName", "spec.externalName", "`externalName` is missing"),
        ("ports: [{port: 80, name: a}, {port: 81}]", "spec.ports[1].name", "`name` is missing"),
        ("ports: [{port: 80, name: a}, {port: 81, name: a}]", "spec.ports[1].name", "`a` is there already"),
        ("ports: [{port: 80, name: a}, {port: 80, name: b}]", "spec.ports[1].port", "`80/TCP` is there already"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], spec: str, path: str, message: str) -> None:
    found = mistakes(SERVICE.format(name="a", spec=spec))
    assert list(found) == [path]
    assert message in found[path]


@pytest.mark.parametrize(
    "spec",
    [
        "ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]",
        "type: ExternalName, externalName: example.com",
        "clusterIP: '', ports: [{port: 80, targetPort: http}]",
    ],
)
def test_accepts(mistakes: Callable[[str], dict[str, str]], spec: str) -> None:
    assert mistakes(SERVICE.format(name="a", spec=spec)) == {}


@pytest.mark.parametrize(
    ("accounts", "message"),
    [("", "names no service account"), (" , ", "names no service account"), ("a, B", '"B" is no name')],
)
def test_refuses_service_accounts(mistakes: Callable[[str], dict[str, str]], accounts: str, message: str) -> None:
    annotations = f'annotations: {{tulle.dev/service-accounts: "{accounts}"}}'
    text = f"{{apiVersion: v1, kind: Service, metadata: {{name: a, {annotations}}}, spec: {{ports: [{{port: 80}}]}}}}"
    found = mistakes(text)
    assert list(found) == ['metadata.annotations["tulle.dev/service-accounts"]']
    assert message in next(iter(found.values()))
