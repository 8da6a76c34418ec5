"""Reads the JSON body of a request within limits, before anything parses it."""

import re

from fastapi import Request

from tulle.api.errors import error

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


async def read_json(request: Request) -> bytes:
    """The body; raises ApiError for one that is not JSON by name, too large, or nested too deeply."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A web page can send other types to another origin without asking first.
    if media_type != "application/json":
        raise error(415, "UnsupportedMediaType", "send application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise error(413, "TooLarge", f"a request may have {MAX_BYTES} bytes; send fewer objects at once")
    if depth(body) > MAX_DEPTH:
        raise error(400, "TooDeep", f"objects and lists may be nested {MAX_DEPTH} deep")
    return bytes(body)


def depth(body: bytes | bytearray) -> int:
    """How deep objects and lists are nested in a JSON text; of anything else, some number."""
    deepest = current = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        current += 1 if bracket in b"[{" else -1
        deepest = max(deepest, current)
    return deepest
