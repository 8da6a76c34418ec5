"""What the Gateway API's own schema accepts is accepted, and what it refuses is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from tulle.model.kinds import kind_named
from tulle.model.parse import InvalidResource, decode_json, parse_yaml
from tulle.model.validate import validate

OFFICIAL = Path(__file__).parents[4] / "shared" / "gateway-api"
ROUTES = {
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
    "TCPRoute": "tcproutes",
    "ReferenceGrant": "referencegrants",
}
pytestmark = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the Gateway API's schemas are not here")

RULE = {"backendRefs": [{"name": "a", "port": 80}]}
FULL = {
    "HTTPRoute": {
        "parentRefs": [{"name": "a", "kind": "Service", "group": "", "port": 80, "namespace": "b"}],
        "hostnames": ["a.example.com"],
        "useDefaultGateways": "None",
        "rules": [
            {
                "name": "one",
                "matches": [
                    {
                        "path": {"type": "PathPrefix", "value": "/a"},
                        "headers": [{"type": "Exact", "name": "x", "value": "y"}],
                        "queryParams": [{"type": "Exact", "name": "x", "value": "y"}],
                        "method": "GET",
                    }
                ],
                "filters": [
                    {
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": {
                            "set": [{"name": "a", "value": "b"}],
                            "add": [{"name": "c", "value": "d"}],
                            "remove": ["e"],
                        },
                    },
                    {
                        "type": "RequestMirror",
                        "requestMirror": {
                            "backendRef": {"name": "m", "port": 80},
                            "fraction": {"numerator": 1, "denominator": 2},
                        },
                    },
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {
                            "hostname": "b.example.com",
                            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"},
                        },
                    },
                    {
                        "type": "CORS",
                        "cors": {
                            "allowOrigins": ["https://example.com"],
                            "allowMethods": ["GET"],
                            "allowHeaders": ["x"],
                            "exposeHeaders": ["y"],
                            "allowCredentials": True,
                            "maxAge": 9,
                        },
                    },
                    {
                        "type": "ExternalAuth",
                        "externalAuth": {
                            "protocol": "HTTP",
                            "backendRef": {"name": "m", "port": 80},
                            "http": {"path": "/auth", "allowedHeaders": ["a"], "allowedResponseHeaders": ["b"]},
                            "forwardBody": {"maxSize": 5},
                        },
                    },
                    {"type": "ExtensionRef", "extensionRef": {"group": "a.example", "kind": "B", "name": "c"}},
                ],
                "backendRefs": [
                    {
                        "name": "a",
                        "port": 80,
                        "weight": 3,
                        "group": "",
                        "kind": "Service",
                        "namespace": "n",
                        "filters": [
                            {
                                "type": "ResponseHeaderModifier",
                                "responseHeaderModifier": {"remove": ["e"]},
                            }
                        ],
                    }
                ],
                "timeouts": {"request": "10s", "backendRequest": "5s"},
                "retry": {"codes": [500], "attempts": 2, "backoff": "100ms"},
                "sessionPersistence": {
                    "type": "Cookie",
                    "absoluteTimeout": "1h",
                    "cookie": {"name": "s", "path": "/", "lifetimeType": "Permanent"},
                },
            },
            {
                "filters": [
                    {
                        "type": "RequestRedirect",
                        "requestRedirect": {
                            "scheme": "https",
                            "hostname": "c.example.com",
                            "port": 443,
                            "statusCode": 308,
                            "path": {"type": "ReplaceFullPath", "replaceFullPath": "/b"},
                        },
                    }
                ]
            },
        ],
    },
    "GRPCRoute": {
        "parentRefs": [{"name": "a", "kind": "Service", "group": ""}],
        "hostnames": ["*.example.com"],
        "rules": [
            {
                "name": "one",
                "matches": [
                    {
                        "method": {"type": "Exact", "service": "a.B", "method": "C"},
                        "headers": [{"type": "Exact", "name": "x", "value": "y"}],
                    }
                ],
                "filters": [
                    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "port": 80}, "percent": 9}}
                ],
                "backendRefs": [{"name": "a", "port": 80, "weight": 3}],
                "sessionPersistence": {"type": "Header", "header": {"name": "s"}},
            }
        ],
    },
    "TCPRoute": {
        "parentRefs": [{"name": "a", "sectionName": "b"}],
        "rules": [{"name": "one", "backendRefs": [{"name": "a", "port": 80, "weight": 3}]}],
    },
    "ReferenceGrant": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}],
        "to": [{"group": "", "kind": "Service", "name": "b"}],
    },
}
REFUSED_BY_RULE = {
    "path without slash": {"rules": [{"matches": [{"path": {"value": "a"}}]}]},
    "path with //": {"rules": [{"matches": [{"path": {"value": "/a//b"}}]}]},
    "path with /./": {"rules": [{"matches": [{"path": {"value": "/a/./b"}}]}]},
    "path with /../": {"rules": [{"matches": [{"path": {"type": "Exact", "value": "/a/../b"}}]}]},
    "path with %2f": {"rules": [{"matches": [{"path": {"value": "/a%2fb"}}]}]},
    "path with %2F": {"rules": [{"matches": [{"path": {"value": "/a%2Fb"}}]}]},
    "path with #": {"rules": [{"matches": [{"path": {"value": "/a#b"}}]}]},
    "path ending in /..": {"rules": [{"matches": [{"path": {"value": "/a/.."}}]}]},
    "path ending in /.": {"rules": [{"matches": [{"path": {"value": "/a/."}}]}]},
    "path with a space": {"rules": [{"matches": [{"path": {"value": "/a b"}}]}]},
    "two conditions on a header": {
        "rules": [{"matches": [{"headers": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}]}]
    },
    "two conditions on a parameter": {
        "rules": [{"matches": [{"queryParams": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}]}]
    },
    "too many matches": {"rules": [{"matches": [{"path": {"value": f"/{i}"}} for i in range(43)]}] * 3},
    "two rules of one name": {"rules": [{"name": "a"}, {"name": "a"}]},
    "service without port": {"rules": [{"backendRefs": [{"name": "a"}]}]},
    "filter without its field": {"rules": [{"filters": [{"type": "CORS"}]}]},
    "field of another filter": {
        "rules": [{"filters": [{"type": "CORS", "cors": {}, "urlRewrite": {"hostname": "a"}}]}]
    },
    "filter twice": {"rules": [{"filters": [{"type": "CORS", "cors": {}}] * 2}]},
    "redirect and rewrite": {
        "rules": [
            {"filters": [{"type": "RequestRedirect", "requestRedirect": {}}, {"type": "URLRewrite", "urlRewrite": {}}]}
        ]
    },
    "redirect with backends": {
        "rules": [{**RULE, "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}]
    },
    "prefix of an exact match": {
        "rules": [
            {
                "matches": [{"path": {"type": "Exact", "value": "/a"}}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}},
                    }
                ],
            }
        ]
    },
    "path modifier without value": {
        "rules": [{"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath"}}}]}]
    },
    "percent and fraction": {
        "rules": [
            {
                "filters": [
                    {
                        "type": "RequestMirror",
                        "requestMirror": {
                            "backendRef": {"name": "a", "port": 1},
                            "percent": 1,
                            "fraction": {"numerator": 1},
                        },
                    }
                ]
            }
        ]
    },
    "backend timeout over the request's": {"rules": [{"timeouts": {"request": "1s", "backendRequest": "2s"}}]},
    "permanent cookie without end": {
        "rules": [{"sessionPersistence": {"cookie": {"lifetimeType": "Permanent"}}}],
    },
    "cookie type without cookie": {"rules": [{"sessionPersistence": {}}]},
    "one parent twice": {"parentRefs": [{"name": "a"}, {"name": "a"}]},
    "one parent in two ways": {"parentRefs": [{"name": "a", "port": 1}, {"name": "a", "sectionName": "b"}]},
}


def official_validator(kind: str) -> Draft202012Validator:
    text = (OFFICIAL / f"crds/experimental/gateway.networking.k8s.io_{ROUTES[kind]}.yaml").read_text()
    versions = yaml.safe_load(text)["spec"]["versions"]
    schema = next(v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == "v1")
    return Draft202012Validator(_closed(schema))


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD's schema as strict validation reads it: what has no property is refused."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(part) for name, part in schema["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    return closed


def document(kind: str, spec: Any) -> dict[str, Any]:
    found = kind_named(kind)
    assert found is not None
    return {"apiVersion": found.api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def is_accepted(value: dict[str, Any]) -> bool:
    try:
        return not validate(decode_json(msgspec.json.encode(value)))
    except InvalidResource:
        return False


def mutations(value: Any) -> Iterator[Any]:
    """The value with one thing in it replaced, removed or added, for every thing and several replacements."""
    yield from (5, -1, 0, 10**7, 1.5, True, "", "Not A Name!", "a" * 300, [], {}, ["a"] * 70, {"nothing": 1})
    if isinstance(value, dict):
        yield {**value, "nothing": "x"}
        for key, entry in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: changed} for changed in mutations(entry))
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in mutations(entry))


EXAMPLES = sorted((OFFICIAL / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_official_examples_are_accepted(path: Path) -> None:
    _, problems = parse_yaml(path.read_text(), path.name)
    assert [str(problem) for problem in problems if "there is no kind" not in problem.message] == []


@pytest.mark.parametrize("kind", FULL)
def test_every_field_of_the_official_schema_is_accepted(kind: str) -> None:
    value = document(kind, FULL[kind])
    assert official_validator(kind).is_valid(value)
    assert is_accepted(value)


@pytest.mark.parametrize("kind", FULL)
def test_what_the_official_schema_refuses_is_refused(kind: str) -> None:
    official = official_validator(kind)
    values = (document(kind, spec) for spec in mutations(FULL[kind]))
    refused = [value for value in values if not official.is_valid(value)]
    assert len(refused) > 100
    assert [value for value in refused if is_accepted(value)] == []


@pytest.mark.parametrize("spec", REFUSED_BY_RULE.values(), ids=REFUSED_BY_RULE.keys())
def test_what_the_official_rules_refuse_is_refused(spec: dict[str, Any]) -> None:
    assert official_validator("HTTPRoute").is_valid(document("HTTPRoute", spec))
    assert not is_accepted(document("HTTPRoute", spec))
