from collections.abc import Callable

import pytest

SPECS = {
    "v1": "",
    "Service": "spec: {ports: [{port: 80}]}",
    "App": "spec: {command: [x]}",
    "Workload": "spec: {address: 127.0.0.1, meshPort: 1}",
}


def document(kind: str, metadata: str) -> str:
    version = "tulle.dev/v1alpha1" if kind in ("App", "Workload", "Mesh") else "v1"
    return f"{{apiVersion: {version}, kind: {kind}, metadata: {{{metadata}}}, {SPECS.get(kind, '')}}}"


@pytest.mark.parametrize(
    ("kind", "metadata", "path"),
    [
        ("Service", "name: 1a", "metadata.name"),
        ("Service", "name: a.b", "metadata.name"),
        ("App", f"name: {'a' * 51}", "metadata.name"),
        ("App", "name: a.b", "metadata.name"),
        ("Workload", "name: a.b", "metadata.name"),
        ("Namespace", "name: a.b", "metadata.name"),
        ("Mesh", "name: other", "metadata.name"),
        ("Mesh", "name: default, namespace: a", "metadata.namespace"),
        ("App", "name: a, labels: {tulle.dev/mode: none}", 'metadata.labels["tulle.dev/mode"]'),
        ("App", f"name: a, annotations: {{a: {'b' * 300_000}}}", "metadata.annotations"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], kind: str, metadata: str, path: str) -> None:
    assert list(mistakes(document(kind, metadata))) == [path]


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("Service", "name: a-1"),
        ("App", f"name: {'a' * 50}, labels: {{tulle.dev/mode: node}}"),
        ("Namespace", "name: a, labels: {tulle.dev/mode: sidecar}"),
        ("ServiceAccount", "name: a.b"),
        ("Mesh", "name: default"),
    ],
)
def test_accepts(mistakes: Callable[[str], dict[str, str]], kind: str, metadata: str) -> None:
    assert mistakes(document(kind, metadata)) == {}
