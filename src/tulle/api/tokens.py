"""Join tokens: what a new node's agent proves with that it may join."""

from datetime import timedelta

import msgspec
from fastapi import APIRouter, Request, Response
from jsonschema import Draft202012Validator

from tulle.api.answer import answer
from tulle.api.audit import notes
from tulle.api.body import read_json
from tulle.api.context import Given
from tulle.api.errors import invalid
from tulle.api.messages import Token, TokenRequest
from tulle.api.openapi import answers, ref, takes
from tulle.model.duration import Duration
from tulle.model.explain import mistakes
from tulle.model.problem import Problem
from tulle.model.tree import Tree

_SCHEMA = Draft202012Validator(msgspec.json.schema(TokenRequest))

MAX_TTL = timedelta(days=7)

router = APIRouter(tags=["nodes"])


@router.post(
    "/v1/tokens", status_code=201, responses=answers(ref(Token), "Made", 201), openapi_extra=takes(ref(TokenRequest))
)
async def create_token(backend: Given, request: Request) -> Response:
    asked, ttl = _checked(await read_json(request))
    notes(request.scope).objects = (f"Token/{asked.node}", *asked.service_accounts)
    token = await backend.create_token(asked.node, asked.service_accounts, ttl)
    return answer(Token(token), 201)


def _checked(body: bytes) -> tuple[TokenRequest, timedelta]:
    try:
        asked = msgspec.json.decode(body, type=TokenRequest)
    except (msgspec.DecodeError, UnicodeError) as failure:
        raise invalid(_explained(body) or (Problem("", f"this is not JSON: {failure}"),)) from failure
    try:
        ttl = Duration.parse(asked.ttl)
    except ValueError as failure:
        raise invalid((Problem("ttl", str(failure)),)) from failure
    if not timedelta(0) < ttl <= MAX_TTL:
        raise invalid((Problem("ttl", f"is {asked.ttl}", "write more than 0s and at most 168h"),))
    return asked, ttl


def _explained(body: bytes) -> tuple[Problem, ...]:
    """What is wrong with a body that is JSON."""
    try:
        tree: Tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return ()
    return mistakes(_SCHEMA, tree, {})
