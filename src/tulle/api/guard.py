"""Stands before every request: who asks, from which page, for how long; and writes down what was changed.

A name that resolves to this host in a web page's own domain (DNS rebinding) is stopped by the Host check, a page of
another origin by the Origin check, anybody else by the token. The unix socket needs no token: its mode is the check.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tulle.api.audit import AuditEntry, WriteLine, audit_line, notes
from tulle.api.errors import ApiError, error, problem_response

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))

Caller: TypeAlias = Literal["socket", "token", "nobody"]


class Access(Struct, frozen=True):
    """Who may use the API. `token` None: everybody who can connect, which has to be decided by a socket's mode.
    `hosts`: the names, without a port, that requests may be addressed to. `seconds`: how long a request may take,
    unless it watches."""

    token: str | None
    hosts: frozenset[str] = LOCAL_HOSTS
    seconds: float = 30

    def __post_init__(self) -> None:
        if self.token == "":
            raise ValueError("an empty token would let everybody in")

    def __repr__(self) -> str:
        return f"Access(token={'none' if self.token is None else 'redacted'}, hosts={sorted(self.hosts)})"


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, access: Access, audit: WriteLine, clock: Callable[[], float] = time.time) -> None:
        self._app, self._access, self._audit, self._clock = app, access, audit, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            return
        caller = self._caller(scope)
        status = 500  # unless a response begins

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *SECURITY_HEADERS]}
            await send(message)

        try:
            refusal = self._refusal(scope, caller)
            if refusal:
                await _refuse(refusal, scope, receive, watched)
            else:
                await self._limited(scope, receive, watched)
        finally:
            if scope["method"] not in SAFE_METHODS:
                self._audit(audit_line(self._entry(scope, caller, status)))

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and ends it when it takes too long before a response begins or goes on."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                    limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._access.seconds) as limit:
                await self._app(scope, receive, watched)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            detail = f"no answer within {self._access.seconds:g} s; a write may have been made nevertheless"
            await _refuse(error(504, "Timeout", detail), scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        if self._access.token is None:
            return "socket"
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(), self._access.token.encode())
        return "token" if known and scheme.lower() == "bearer" else "nobody"

    def _refusal(self, scope: Scope, caller: Caller) -> ApiError | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _name(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host not in self._access.hosts:
            return error(421, "WrongHost", f"this is not {', '.join(hosts) or 'a request with a Host header'}")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"):
            return error(403, "WrongOrigin", f"pages of {origin} may not use this API")
        if caller == "nobody" and scope["path"] not in OPEN_PATHS:
            return error(401, "NotAuthenticated", "send the header Authorization: Bearer <token>")
        return None

    def _entry(self, scope: Scope, caller: Caller, status: int) -> AuditEntry:
        noted = notes(scope)
        return AuditEntry(
            time=self._clock(),
            caller=caller,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            status=status,
            objects=noted.objects,
            revision=noted.revision,
            reason=noted.reason,
        )


def _name(url: str) -> str | None:
    """The host name in a URL, in lower case and without brackets; None where it has none that can be read."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _refuse(refusal: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    notes(scope).reason = refusal.document.detail
    await problem_response(refusal.document)(scope, receive, send)
