from collections.abc import Callable

import pytest

ROUTE = (
    "{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: a}}, spec: {{rules: [{rule}]}}}}"
)
METHOD = "spec.rules[0].matches[0].method"


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("{matches: [{method: {}}]}", METHOD),
        ("{matches: [{method: {service: a-b}}]}", f"{METHOD}.service"),
        ("{matches: [{method: {method: a.b}}]}", f"{METHOD}.method"),
        ("{matches: [{method: {type: RegularExpression, method: '('}}]}", f"{METHOD}.method"),
        ("{backendRefs: [{name: a}]}", "spec.rules[0].backendRefs[0].port"),
        ("{name: a}, {name: a}", "spec.rules[1].name"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], rule: str, path: str) -> None:
    assert list(mistakes(ROUTE.format(rule=rule))) == [path]


@pytest.mark.parametrize("rule", ["", "{}", "{matches: [{method: {service: shop.v1.Catalog, method: Get}}]}"])
def test_accepts(mistakes: Callable[[str], dict[str, str]], rule: str) -> None:
    assert mistakes(ROUTE.format(rule=rule)) == {}
