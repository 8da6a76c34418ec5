"""Audit entries are lines."""

import json

from tulle.api.audit import AuditEntry, audit_line, notes
from tulle.model.names import ObjectRef


def test_an_entry_is_one_line_of_json() -> None:
    entry = AuditEntry(1.5, "token", "PUT", "/v1/a\nb", "x=\n", 201, ("Service/shop/web",), 7, "two\nlines")
    line = audit_line(entry)
    assert "\n" not in line
    assert json.loads(line)["reason"] == "two\nlines"


def test_notes_are_those_of_the_request() -> None:
    scope: dict[str, object] = {}
    notes(scope).name([ObjectRef("v1", "Service", "shop", "web")])
    assert notes(scope).objects == ("Service/shop/web",)
    assert notes({}).objects == ()
