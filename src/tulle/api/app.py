"""Puts the HTTP API together: routes, guard, errors, and its own description."""

import time
from collections.abc import Callable

from fastapi import FastAPI

from tulle.api import apply, context, errors, health, messages, nodes, openapi, proxies, resources, tokens
from tulle.api.audit import WriteLine
from tulle.api.backend import AuthorityState, Backend, RemovedNode, Status
from tulle.api.guard import Access, Guard

# Paths that mean one thing come before `/v1/{plural}/{name}`, which means many.
_ROUTERS = (health.router, apply.router, proxies.router, nodes.router, tokens.router, resources.router)
_TYPES = (
    messages.ProblemDocument,
    Status,
    messages.Deleted,
    messages.Applied,
    messages.ProxyList,
    messages.XdsDump,
    messages.NodeList,
    RemovedNode,
    AuthorityState,
    messages.TokenRequest,
    messages.Token,
    messages.Health,
    messages.Version,
)


def create_api(backend: Backend, access: Access, audit: WriteLine, clock: Callable[[], float] = time.time) -> FastAPI:
    """The API of `backend` for those whom `access` lets in. `audit` is given one line of JSON, without its end, for
    every write and every refused write; `clock` gives Unix seconds."""
    app = FastAPI(title="Tulle", version=backend.version(), docs_url=None, redoc_url=None, redirect_slashes=False)
    context.install(app, backend)
    errors.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    openapi.install(app, _TYPES)
    app.add_middleware(Guard, access=access, audit=audit, clock=clock)
    return app
