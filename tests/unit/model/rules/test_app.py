from collections.abc import Callable

import pytest

APP = "{{apiVersion: tulle.dev/v1alpha1, kind: App, metadata: {{name: a}}, spec: {{{spec}}}}}"
RUN = "command: [x], ports: [{name: http, port: 80}]"


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ("args: [x]", "spec.command", "`command` is missing"),
        ("command: ['']", "spec.command", "`command` is missing"),
        ('command: ["a\\0"]', "spec.command", "NUL"),
        ("command: [x], env: [{name: A}, {name: A}]", "spec.env[1].name", "`A` is there already"),
        ("command: [x], ports: [{port: 80}, {port: 80}]", "spec.ports[1].port", "`80/TCP` is there already"),
        ("command: [x], labels: {tulle.dev/mode: x}", 'spec.labels["tulle.dev/mode"]', "no mode `x`"),
        (f"{RUN}, readinessProbe: {{}}", "spec.readinessProbe", "has no check"),
        (
            f"{RUN}, readinessProbe: {{tcpSocket: {{port: 1}}, exec: {{command: [a]}}}}",
            "spec.readinessProbe",
            "has tcpSocket and exec",
        ),
        (f"{RUN}, readinessProbe: {{tcpSocket: {{port: web}}}}", "spec.readinessProbe.tcpSocket.port", "no port named"),
        (f"{RUN}, livenessProbe: {{httpGet: {{port: 1, path: a}}}}", "spec.livenessProbe.httpGet.path", "start with"),
        (
            f"{RUN}, livenessProbe: {{tcpSocket: {{port: 1}}, successThreshold: 2}}",
            "spec.livenessProbe.successThreshold",
            "must be 1",
        ),
        (f"{RUN}, resources: {{limits: {{memory: 5 GB}}}}", "spec.resources.limits.memory", "no quantity"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], spec: str, path: str, message: str) -> None:
    found = mistakes(APP.format(spec=spec))
    assert list(found) == [path]
    assert message in found[path]


def test_accepts_all_that_an_app_can_say(mistakes: Callable[[str], dict[str, str]]) -> None:
    spec = f"""{RUN}, args: [-v], env: [{{name: A, value: "1"}}], workingDir: /srv, replicas: 0, serviceAccount: b,
    labels: {{version: v1}}, readinessProbe: {{httpGet: {{port: http, path: /ready}}, successThreshold: 2}},
    livenessProbe: {{grpc: {{port: 80, service: a.B}}}}, startupProbe: {{exec: {{command: [y]}}, periodSeconds: 1}},
    resources: {{requests: {{cpu: 500m, memory: 1.5Gi}}, limits: {{cpu: 1, memory: 2e9}}}}, restartPolicy: OnFailure,
    terminationGracePeriodSeconds: 0, runAs: nobody, node: one"""
    assert mistakes(APP.format(spec=spec)) == {}
