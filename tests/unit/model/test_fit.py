from tulle.model.fit import without_nulls, without_unknown
from tulle.model.schema import json_schema

SCHEMA = json_schema("HTTPRoute")
DOCUMENT = {
    "kind": "HTTPRoute",
    "metadata": {"name": "a", "labels": None, "label": None},
    "spec": {"rules": [{"matches": None, "match": 1, "filters": [{"type": "CORS", "cors": None, "x": {}}]}]},
}


def test_known_nulls_are_left_out() -> None:
    assert without_nulls(DOCUMENT, SCHEMA) == {
        "kind": "HTTPRoute",
        "metadata": {"name": "a", "label": None},
        "spec": {"rules": [{"match": 1, "filters": [{"type": "CORS", "x": {}}]}]},
    }


def test_unknown_fields_are_left_out() -> None:
    assert without_unknown(DOCUMENT, SCHEMA) == {
        "kind": "HTTPRoute",
        "metadata": {"name": "a"},
        "spec": {"rules": [{"filters": [{"type": "CORS"}]}]},
    }


def test_what_has_another_shape_stays() -> None:
    assert without_unknown({"spec": {"rules": 5}, "metadata": []}, SCHEMA) == {"spec": {"rules": 5}, "metadata": []}
