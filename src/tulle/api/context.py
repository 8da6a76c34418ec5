"""What handlers are given: the backend and the clock of the app that they belong to."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends, FastAPI, Request
from msgspec import Struct

from tulle.api.backend import Backend


class Context(Struct, frozen=True):
    """`clock` gives Unix seconds."""

    backend: Backend
    clock: Callable[[], float]


def install(app: FastAPI, context: Context) -> None:
    app.state.context = context


async def _context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


Given: TypeAlias = Annotated[Context, Depends(_context)]
