"""Errors as callers see them: RFC 9457 problem documents, with the problems of what they sent.

ApiError is the only exception of this package; handlers raise it, and one function turns it into a response.
"""

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tulle.api.audit import notes
from tulle.api.messages import ProblemDocument
from tulle.model.problem import Problem
from tulle.store.protocol import Conflict, NotFound, Unavailable

MEDIA_TYPE = "application/problem+json"


class ApiError(Exception):
    """A request that gets `document` for an answer."""

    def __init__(self, document: ProblemDocument) -> None:
        super().__init__(document.detail)
        self.document = document


_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    413: "Request too large",
    415: "Unsupported media type",
    421: "Wrong host",
    422: "Invalid",
    500: "Internal error",
    503: "Unavailable",
    504: "Timed out",
}


def error(status: int, reason: str, detail: str) -> ApiError:
    return ApiError(ProblemDocument(_TITLES[status], status, detail, reason))


def not_found(what: str) -> ApiError:
    return error(404, "NotFound", f"{what} does not exist")


def invalid(problems: tuple[Problem, ...]) -> ApiError:
    """What was sent has these problems; nothing was written."""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    detail = f"{count}; nothing was written"
    return ApiError(ProblemDocument(_TITLES[422], 422, detail, "Invalid", problems=problems))


def conflict(refusal: Conflict) -> ApiError:
    if refusal.expected == 0:
        reason, detail = "AlreadyExists", f"{refusal.ref} exists already, at revision {refusal.actual}"
    elif refusal.actual == 0:
        reason, detail = "Conflict", f"{refusal.ref} does not exist; revision {refusal.expected} was expected"
    else:
        reason, detail = "Conflict", f"{refusal}; read it again and repeat the change"
    return ApiError(
        ProblemDocument(
            _TITLES[409],
            409,
            detail,
            reason,
            resource=str(refusal.ref),
            expected_revision=refusal.expected,
            actual_revision=refusal.actual,
        )
    )


def problem_response(document: ProblemDocument) -> Response:
    headers = {}
    if document.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if document.status == 503:
        headers["Retry-After"] = "5"
    return Response(msgspec.json.encode(document), document.status, headers, MEDIA_TYPE)


def _document(request: Request, exception: Exception) -> ProblemDocument:
    match exception:
        case ApiError():
            return exception.document
        case Conflict():
            return conflict(exception).document
        case NotFound():
            return not_found(str(exception.ref)).document
        case Unavailable():
            return error(503, "Unavailable", str(exception)).document
        case RequestValidationError():
            problems = tuple(Problem(".".join(map(str, each["loc"])), each["msg"]) for each in exception.errors())
            return ProblemDocument(
                _TITLES[400], 400, "the request has parameters that do not fit", "BadRequest", problems=problems
            )
        case HTTPException():
            title = _TITLES.get(exception.status_code, "Error")
            detail = f"{request.method} {request.url.path}: {exception.detail}"
            return ProblemDocument(title, exception.status_code, detail, title.title().replace(" ", ""))
    # Starlette raises it again after answering, so that the server logs it.
    return error(500, "InternalError", "the control plane failed; its log says more").document


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""

    async def respond(request: Request, exception: Exception) -> Response:
        document = _document(request, exception)
        notes(request.scope).reason = document.detail
        return problem_response(document)

    for kind in (ApiError, Conflict, NotFound, Unavailable, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)
