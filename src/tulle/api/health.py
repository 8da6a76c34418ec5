"""Health: whether the process answers, and whether it can serve."""

from fastapi import APIRouter, Response
from msgspec import Struct

from tulle.api.answer import answer
from tulle.api.context import Given
from tulle.api.errors import ApiError, ProblemDocument
from tulle.api.openapi import answers, ref

router = APIRouter(tags=["health"])


class Health(Struct, frozen=True):
    status: str


class Version(Struct, frozen=True):
    version: str


@router.get("/healthz", responses=answers(ref(Health)))
async def healthz() -> Response:
    return answer(Health("ok"))


@router.get("/readyz", responses=answers(ref(Health)))
async def readyz(backend: Given) -> Response:
    problems = backend.not_ready()
    if problems:
        detail = "; ".join(map(str, problems))
        raise ApiError(ProblemDocument("Not ready", 503, detail, "NotReady", problems=problems))
    return answer(Health("ok"))


@router.get("/v1/version", responses=answers(ref(Version)))
async def version(backend: Given) -> Response:
    return answer(Version(backend.version()))
