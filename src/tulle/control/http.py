"""Serves the HTTP API: on a unix socket for the user who runs the control plane, over TLS for those with a token."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from msgspec import Struct

from tulle.identity.private_socket import bind_private

GRACE = 2
"""Seconds that requests under way have when the server stops."""


class HttpsSettings(Struct, frozen=True):
    """Where the API listens for other hosts, and with which certificate (files, PEM). `token` is asked of all."""

    host: str
    port: int
    certificate: Path
    key: Path
    token: str

    def __repr__(self) -> str:
        return f"HttpsSettings({self.host}:{self.port}, token=redacted)"


class Server(uvicorn.Server):
    """Uvicorn inside a process that handles its own signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def on_socket(app: FastAPI, path: Path) -> tuple[Server, socket.socket]:
    """A server and its unix socket, which only this user can open from the moment it exists."""
    return _server(app, None), bind_private(path)


def over_tls(app: FastAPI, settings: HttpsSettings) -> tuple[Server, socket.socket]:
    """A server and its TCP socket."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    return _server(app, settings), listener


def _server(app: FastAPI, settings: HttpsSettings | None) -> Server:
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            ssl_certfile=settings.certificate if settings else None,
            ssl_keyfile=settings.key if settings else None,
        )
    )
