"""Answers that are not errors: JSON of typed values, never cached."""

from collections.abc import Mapping

import msgspec
from fastapi import Response
from msgspec import Raw, Struct


def answer(value: Struct | Raw, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(value), status, all_headers, "application/json")
