"""What handlers are given: the backend of the app that they belong to."""

from typing import Annotated, TypeAlias

from fastapi import Depends, FastAPI, Request

from tulle.api.backend import Backend


def install(app: FastAPI, backend: Backend) -> None:
    app.state.backend = backend


async def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Given: TypeAlias = Annotated[Backend, Depends(_backend)]
