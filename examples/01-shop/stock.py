"""Says how many metres are left, over plain TCP: `GET <sku>\\n` is answered with `<number>\\n`."""

import signal
import socketserver
import threading

from serving import address, block_termination

METRES = {"tulle": 120, "linen": 64, "velvet": 8, "denim": 0, "organza": 31}
MAX_LINE = 256


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline(MAX_LINE):
            self.wfile.write(answer(line.decode(errors="replace")).encode() + b"\n")
            if not line.endswith(b"\n"):
                return


def answer(line: str) -> str:
    match line.split():
        case ["GET", sku]:
            return str(METRES.get(sku, 0))
    return "ERROR say GET <sku>"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signals = block_termination()
    server = Server(address(9000), Handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="accept", daemon=True).start()
    signal.sigwait(signals)
    server.shutdown()
    server.server_close()
