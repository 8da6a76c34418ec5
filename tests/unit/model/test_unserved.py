from tulle.model.parse import parse_yaml
from tulle.model.unserved import unserved

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a}
spec:
  useDefaultGateways: All
  rules:
  - filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}}}
    - {type: CORS, cors: {}}
    backendRefs:
    - name: a
      port: 80
      filters: [{type: URLRewrite, urlRewrite: {hostname: b}}]
    retry: {attempts: 2}
    sessionPersistence: {type: Header, header: {name: x}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  type: NodePort
  clusterIP: 10.0.0.1
  sessionAffinity: ClientIP
  ports: [{port: 53, protocol: UDP}]
"""


def paths(text: str) -> list[str]:
    parsed, problems = parse_yaml(text, "f.yaml")
    assert problems == ()
    return [problem.path for problem in unserved(parsed[0].resource)]


def test_route_fields() -> None:
    assert paths(ROUTE) == [
        "spec.useDefaultGateways",
        "spec.rules[0].filters[1]",
        "spec.rules[0].filters[2]",
        "spec.rules[0].backendRefs[0].filters[0]",
        "spec.rules[0].retry",
        "spec.rules[0].sessionPersistence",
    ]


def test_grpc_route_fields() -> None:
    text = ROUTE.replace("HTTPRoute", "GRPCRoute").replace("    - {type: CORS, cors: {}}\n", "")
    text = text.replace("    retry: {attempts: 2}\n", "").replace(
        "      filters: [{type: URLRewrite, urlRewrite: {hostname: b}}]\n", ""
    )
    assert paths(text) == [
        "spec.useDefaultGateways",
        "spec.rules[0].filters[1]",
        "spec.rules[0].sessionPersistence",
    ]


def test_service_fields() -> None:
    assert paths(SERVICE) == ["spec.type", "spec.sessionAffinity", "spec.clusterIP", "spec.ports[0].protocol"]


def test_virtual_addresses_of_the_mesh_are_served() -> None:
    text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 240.240.0.9, ports: [{port: 80}]}}"
    assert paths(text) == []
    assert paths(text.replace("240.240.0.9", "'fd00::1'")) == ["spec.clusterIP"]


def test_app_fields() -> None:
    spec = "{command: [x], resources: {limits: {cpu: 1}}}"
    text = f"{{apiVersion: tulle.dev/v1alpha1, kind: App, metadata: {{name: a}}, spec: {spec}}}"
    assert paths(text) == ["spec.resources"]
