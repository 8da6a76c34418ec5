"""An application for tests of security: greets who connects, says requests back, and runs whatever Python it is given,
so that a test can try from where an application is what an application could try.

Usage: hostile.py <port of the greeter> <port of the echo> <port of the shell>
"""

import contextlib
import http.server
import io
import json
import os
import socket
import socketserver
import sys
import threading
import traceback

GREETING = b"GREETING\n"


class Greeter(socketserver.BaseRequestHandler):
    """Speaks first, as databases and mail servers do, and says in the log that somebody was there."""

    def handle(self) -> None:
        print("greeted", flush=True)
        self.request.sendall(GREETING)
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        answer = json.dumps({"headers": dict(self.headers), "body": body.decode()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


class Shell(socketserver.StreamRequestHandler):
    """One program for each connection; its output, or its traceback, is the answer."""

    def handle(self) -> None:
        output = io.StringIO()
        program = self.rfile.read().decode()
        try:
            exec(program, {"print": lambda *values: print(*values, file=output)})
        except BaseException:
            output.write(traceback.format_exc())
        with contextlib.suppress(OSError):
            self.wfile.write(output.getvalue().encode())


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main(greeter: str, echo: str, shell: str) -> None:
    print("runs as", os.getuid(), flush=True)
    http_server = http.server.ThreadingHTTPServer(("0.0.0.0", int(echo)), Echo)
    for server in (http_server, Tcp(("127.0.0.1", int(shell)), Shell)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    Tcp.address_family = socket.AF_INET6  # `::` with IPv4 mapped into it: every address that there is
    Tcp(("::", int(greeter)), Greeter).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
