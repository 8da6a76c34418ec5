import pytest
from jsonschema import Draft202012Validator

from tulle.model.schema import json_schema, kinds


@pytest.mark.parametrize("kind", kinds())
def test_schemas_are_schemas(kind: str) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == kind
    assert schema["additionalProperties"] is False


def test_older_versions_and_status_are_in_the_schema() -> None:
    value = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "a"},
        "spec": {"from": [{"group": "", "kind": "A", "namespace": "b"}], "to": [{"group": "", "kind": "C"}]},
        "status": {},
    }
    assert Draft202012Validator(json_schema("ReferenceGrant")).is_valid(value)


def test_null_is_in_no_schema() -> None:
    assert "null" not in str(json_schema("HTTPRoute"))


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        json_schema("Nothing")
