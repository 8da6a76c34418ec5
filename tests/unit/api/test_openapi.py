"""The API describes itself."""

import json

import httpx

from tulle.model.kinds import KINDS


async def test_every_reference_is_there(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        assert reference.startswith("#/components/schemas/"), reference
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert {kind.name for kind in KINDS} <= set(schemas)


async def test_every_operation_has_a_typed_answer(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    assert len(operations) >= 20
    for path, method, operation in operations:
        good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        schema = good["content"]["application/json"]["schema"]
        assert schema.get("$ref") or schema.get("properties"), (path, method)
        assert "default" in operation["responses"]
        assert ("requestBody" in operation) == (method in ("put", "post"))
    identifiers = [operation["operationId"] for _, _, operation in operations]
    assert len(set(identifiers)) == len(identifiers)
