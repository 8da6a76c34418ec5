"""Answers HTTP/1.1 requests until SIGTERM: what the shop's HTTP applications have in common.

Connections are kept alive, each has a thread, and a request that has begun is answered before the process ends.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult, urlsplit

DRAIN_SECONDS = 5


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(value, ensure_ascii=False).encode() + b"\n", headers=headers or {})


def not_found(path: str) -> Reply:
    return json_reply({"error": f"there is no {path}"}, status=404)


Answer = Callable[[SplitResult, Mapping[str, str]], Reply]
"""Takes the URL and the headers of a GET."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        super().__init__(address, Handler)
        self.answer = answer
        self.draining = False
        self._busy = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        with self._changed:
            self._busy += 1

    def end(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Takes no new connection, tells the open ones to go, and waits for the requests that have begun."""
        self.draining = True
        self.shutdown()
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: self._busy == 0, timeout=DRAIN_SECONDS)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that goes away mid-request is its own affair; anything else is worth a traceback.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "shop"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # one write per reply, not one for the headers and one for the body
    server: Server

    def do_GET(self) -> None:
        self.server.begin()
        try:
            self._send(self._reply())
        finally:
            self.server.end()

    do_HEAD = do_GET

    def _reply(self) -> Reply:
        url = urlsplit(self.path)
        if url.path == "/healthz":
            status, text = (503, b"draining\n") if self.server.draining else (200, b"ok\n")
            return Reply(status, text, "text/plain")
        return self.server.answer(url, self.headers)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("content-length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if self.server.draining:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: who called whom is for the mesh to tell."""


def block_termination() -> set[signal.Signals]:
    """Keeps SIGTERM and SIGINT for `signal.sigwait`; call it before any thread starts."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    return signals


def address(default_port: int) -> tuple[str, int]:
    return os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", default_port))


def serve(answer: Answer) -> None:
    signals = block_termination()
    server = Server(address(8080), answer)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="accept", daemon=True).start()
    signal.sigwait(signals)
    server.drain()
