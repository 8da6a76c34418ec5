"""Speaks HTTP with the control plane: over the socket of this host, or over TLS with a token."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from ssl import SSLError, create_default_context
from typing import TypeVar

import httpx
import msgspec
from msgspec import Raw, Struct

from tulle.api.messages import ProblemDocument
from tulle.api.paths import run_paths
from tulle.cli.errors import Failure, Unreachable, machine_said
from tulle.identity.errors import UnsafeFile
from tulle.identity.private_file import read_private
from tulle.model.problem import Problem

T = TypeVar("T")

TIMEOUT = httpx.Timeout(30, connect=5)
WATCH_TIMEOUT = httpx.Timeout(45, connect=5)
"""Three times as long as a watch is silent."""


class ServerEvent(Struct, frozen=True):
    """What happened, and to what."""

    event: str
    data: Raw


class Refused(Failure):
    """The control plane answered, and did not do it."""

    def __init__(self, status: int, detail: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(detail, problems=problems)
        self.status = status


class ControlPlane:
    """One connection to a control plane. Methods raise Refused, or Unreachable."""

    def __init__(self, http: httpx.Client, where: str) -> None:
        self._http = http
        self._where = where

    def get(self, path: str, kind: type[T], query: Mapping[str, str] | None = None) -> T:
        return self._ask("GET", path, kind, query)

    def post(self, path: str, body: bytes, kind: type[T], query: Mapping[str, str] | None = None) -> T:
        return self._ask("POST", path, kind, query, body)

    def remove(self, path: str, kind: type[T]) -> T:
        """Deletes what is answered with what became of it."""
        return self._ask("DELETE", path, kind, None)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        self._exchange("DELETE", path, query)

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[ServerEvent]:
        """The events of a list that goes on, for as long as somebody takes them; raises Refused, Unreachable."""
        try:
            with self._http.stream("GET", path, params={**query, "watch": "true"}, timeout=WATCH_TIMEOUT) as response:
                if response.is_error:
                    response.read()
                    raise _refused(response)
                yield from _events(response.iter_lines())
            raise Unreachable(f"the control plane at {self._where} has ended the watch", "start it again")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _ask(
        self, method: str, path: str, kind: type[T], query: Mapping[str, str] | None, body: bytes | None = None
    ) -> T:
        response = self._exchange(method, path, query, body)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise Failure(
                f"the answer of {self._where} to {method} {path} is not understood: {error}",
                "is the control plane of another version? compare `tulle version` there and here",
            ) from error

    def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None = None
    ) -> httpx.Response:
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            response = self._http.request(method, path, params=query, content=body, headers=headers)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise _refused(response)
        return response

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"no control plane answers at {self._where}: {_cause(error)}", _hint(self._where))


def _events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Source: HTML Living Standard, 9.2.6. Comments, which have no field's name, only keep a connection alive."""
    fields: dict[str, str] = {}
    for line in lines:
        field, _, value = line.partition(": ")
        if line:
            fields[field] = value
        elif "data" in fields:
            yield ServerEvent(fields.get("event", ""), Raw(fields["data"].encode()))
            fields = {}


def connect(server: str, token_file: Path | None, ca_file: Path | None) -> ControlPlane:
    """The control plane at `server`, or that of this host where it is empty. Raises Failure for unreadable files."""
    if not server:
        path = run_paths(os.environ, os.geteuid()).api_socket
        transport = httpx.HTTPTransport(uds=str(path))
        return ControlPlane(httpx.Client(transport=transport, base_url="http://localhost", timeout=TIMEOUT), str(path))
    if not server.startswith("https://"):
        raise Failure(f"--server {server}: only https is spoken", "write https://host:port")
    headers = {"authorization": f"Bearer {_token(token_file)}"} if token_file else {}
    try:
        context = create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, SSLError) as error:
        raise Failure(f"--ca-file {ca_file}: {error}") from error
    return ControlPlane(httpx.Client(verify=context, base_url=server, headers=headers, timeout=TIMEOUT), server)


def _token(path: Path) -> str:
    try:
        return read_private(path).decode("ascii").strip()
    except UnsafeFile as error:
        raise Failure(f"--token-file: {error}") from error
    except FileNotFoundError as error:
        raise Failure(f"--token-file {path}: does not exist") from error
    except UnicodeDecodeError as error:
        raise Failure(f"--token-file {path}: holds no token") from error


def _refused(response: httpx.Response) -> Refused:
    try:
        document = msgspec.json.decode(response.content, type=ProblemDocument)
    except msgspec.DecodeError:
        return Refused(response.status_code, f"it answered {response.status_code} {response.reason_phrase}")
    return Refused(response.status_code, document.detail, document.problems or ())


def _cause(error: BaseException) -> str:
    """What the machine said at first, without the layers that passed it on."""
    cause = error.__cause__ or error.__context__
    return _cause(cause) if cause else machine_said(error)


def _hint(where: str) -> str:
    if where.startswith("https://"):
        return "check the address, --ca-file, and whether `tulle server` runs there"
    return "start one with `tulle up` or `tulle server`, or name another with --server or TULLE_RUN_DIR"
