"""An application that says what it was asked: over HTTP, gRPC and plain TCP, on the ports that its environment names.

Run by path as an App; it knows nothing of the tests. `?sleep=SECONDS` and `?status=CODE` shape an answer,
`/exit?code=N` ends the process, after `/break` it is no longer healthy.
"""

import json
import os
import signal
import socketserver
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAME = os.environ.get("NAME", "echo")
PORTS = {kind: int(os.environ[f"{kind}_PORT"]) for kind in ("HTTP", "GRPC", "TCP") if f"{kind}_PORT" in os.environ}
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse{status: SERVING}, serialised

healthy = threading.Event()
healthy.set()


class Http(BaseHTTPRequestHandler):
    """HTTP/1.0: a connection per request, so that the process can end when its requests have."""

    def answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        time.sleep(float(query.get("sleep", 0)))
        status = int(query.get("status", 200))
        if url.path == "/break":
            healthy.clear()
        if url.path == "/healthz" and not healthy.is_set():
            status = 503
        headers = {name.lower(): ",".join(self.headers.get_all(name, ())) for name in self.headers}
        reply = {"app": NAME, "pid": os.getpid(), "method": self.command, "path": self.path, "headers": headers}
        data = json.dumps(reply | {"body": body}).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(data))), ("x-app", NAME)):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        if url.path == "/exit":
            self.wfile.flush()
            os._exit(int(query.get("code", 0)))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class HttpServer(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


class Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(NAME.encode() + b" " + line)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve_grpc(port: int) -> None:
    import grpc

    class Anything(grpc.GenericRpcHandler):
        """Answers every method there is."""

        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            if call.method.startswith("/grpc.health.v1.Health/"):
                return grpc.unary_unary_rpc_method_handler(lambda request, context: SERVING)
            said = {"app": NAME, "method": call.method, "metadata": {k: str(v) for k, v in call.invocation_metadata}}
            return grpc.unary_unary_rpc_method_handler(lambda request, context: json.dumps(said).encode())

    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(Anything(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    SERVERS.append(server)


SERVERS: list[object] = []


def main() -> None:
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if "GRPC" in PORTS:
        serve_grpc(PORTS["GRPC"])
    if "TCP" in PORTS:
        threading.Thread(target=TcpServer(("127.0.0.1", PORTS["TCP"]), Tcp).serve_forever, daemon=True).start()
    http = HttpServer(("127.0.0.1", PORTS["HTTP"]), Http) if "HTTP" in PORTS else None
    if http is not None:
        threading.Thread(target=http.serve_forever, args=(0.1,), daemon=True).start()
    print(f"{NAME} serves", flush=True)
    number = signal.sigwait(signals)
    print(f"{NAME} ends after {signal.Signals(number).name}", flush=True)
    if http is not None:
        http.shutdown()
        http.server_close()


if __name__ == "__main__":
    main()
