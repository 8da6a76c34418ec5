"""Health: whether the process answers, and whether it can serve."""

from fastapi import APIRouter, Response

from tulle.api.answer import answer
from tulle.api.context import Given
from tulle.api.errors import ApiError
from tulle.api.messages import Health, ProblemDocument, Version
from tulle.api.openapi import answers, ref

router = APIRouter(tags=["health"])


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
