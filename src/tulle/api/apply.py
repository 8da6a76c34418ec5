"""Applies several objects in one transaction: all of them, or none and everything that is wrong with them."""

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Raw
from msgspec.structs import replace

from tulle.api.answer import answer
from tulle.api.body import read_json
from tulle.api.context import Given
from tulle.api.errors import error, invalid
from tulle.api.messages import Applied, AppliedObject, ApplyRequest
from tulle.api.objects import Checked, check
from tulle.api.openapi import RESOURCE, answers, ref, takes
from tulle.api.resources import DryRun
from tulle.api.writing import Written, write
from tulle.model.names import ObjectRef
from tulle.model.problem import Problem

MAX_OBJECTS = 5000

router = APIRouter(tags=["resources"])

_BODY = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": RESOURCE, "maxItems": MAX_OBJECTS}},
}


@router.post("/v1/apply", responses=answers(ref(Applied)), openapi_extra=takes(_BODY))
async def apply(backend: Given, request: Request, dry_run: DryRun = None) -> Response:
    items = _checked(_items(await read_json(request)))
    written = await write(request, backend.store, items, dry_run is not None)
    return answer(Applied(tuple(map(_applied, written)), dry_run is not None))


def _items(body: bytes) -> tuple[Raw, ...]:
    try:
        items = msgspec.json.decode(body, type=ApplyRequest).items
    except (msgspec.DecodeError, UnicodeError) as failure:
        raise error(400, "BadRequest", f'send {{"items": [...]}}: {failure}') from failure
    if len(items) > MAX_OBJECTS:
        raise error(413, "TooLarge", f"a request may have {MAX_OBJECTS} objects")
    return items


def _checked(items: Sequence[Raw]) -> tuple[Checked, ...]:
    """All items, or ApiError with the problems of all."""
    checked: list[Checked] = []
    problems: list[Problem] = []
    positions: dict[ObjectRef, int] = {}
    for index, item in enumerate(items):
        result = check(bytes(item))
        if not isinstance(result, Checked):
            problems += (replace(problem, resource=problem.resource or f"items[{index}]") for problem in result)
            continue
        first = positions.setdefault(result.ref, index)
        if first != index:
            message = f"items[{index}] is the same object as items[{first}]"
            problems.append(Problem("metadata.name", message, "send each object once", resource=str(result.ref)))
        checked.append(result)
    if problems:
        raise invalid(tuple(problems))
    return tuple(checked)


def _applied(written: Written) -> AppliedObject:
    ref, revision = written.stored.ref, written.stored.revision
    version = str(revision) if revision else ""
    return AppliedObject(ref.api_version, ref.kind, ref.namespace, ref.name, written.outcome, version)
