from collections.abc import Callable

import pytest

ROUTE = (
    "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: a}}, spec: {{rules: [{rule}]}}}}"
)
REPLACE = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}"
MATCH = "spec.rules[0].matches[0]"


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("{matches: [{path: {value: a}}]}", f"{MATCH}.path.value"),
        ("{matches: [{path: {type: RegularExpression, value: '(?=a)'}}]}", f"{MATCH}.path.value"),
        (
            "{matches: [{headers: [{type: RegularExpression, name: a, value: '['}]}]}",
            f"{MATCH}.headers[0].value",
        ),
        (
            "{matches: [{queryParams: [{type: RegularExpression, name: a, value: '['}]}]}",
            f"{MATCH}.queryParams[0].value",
        ),
        ("{matches: [{path: {type: RegularExpression, value: ''}}]}", f"{MATCH}.path.value"),
        (
            "{matches: [{headers: [{type: RegularExpression, name: a, value: ''}]}]}",
            f"{MATCH}.headers[0].value",
        ),
        (f"{{matches: [{{path: {{type: Exact}}}}], filters: [{REPLACE}]}}", "spec.rules[0].filters[0].urlRewrite.path"),
        (f"{{matches: [{{}}, {{}}], filters: [{REPLACE}]}}", "spec.rules[0].filters[0].urlRewrite.path"),
        (
            f"{{matches: [{{}}, {{}}], backendRefs: [{{name: a, port: 1, filters: [{REPLACE}]}}]}}",
            "spec.rules[0].backendRefs[0].filters[0].urlRewrite.path",
        ),
        ("{timeouts: {request: 1s, backendRequest: 1001ms}}", "spec.rules[0].timeouts.backendRequest"),
        ("{retry: {codes: [500, 500]}}", "spec.rules[0].retry.codes[1]"),
        (
            "{backendRefs: [{name: a, port: 1}], filters: [{type: RequestRedirect, requestRedirect: {}}]}",
            "spec.rules[0].backendRefs",
        ),
        ("{name: a}, {name: a}", "spec.rules[1].name"),
    ],
)
def test_refuses(mistakes: Callable[[str], dict[str, str]], rule: str, path: str) -> None:
    assert list(mistakes(ROUTE.format(rule=rule))) == [path]


@pytest.mark.parametrize(
    "rule",
    [
        "{}",
        f"{{filters: [{REPLACE}]}}",
        "{timeouts: {request: 0s, backendRequest: 10s}}",
        "{matches: [{path: {type: RegularExpression, value: '/a//b/[0-9]+'}}]}",
        "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}",
        "{matches: [{headers: [{name: A, value: b}, {name: a, value: b}]}]}",
    ],
)
def test_accepts(mistakes: Callable[[str], dict[str, str]], rule: str) -> None:
    assert mistakes(ROUTE.format(rule=rule)) == {}
