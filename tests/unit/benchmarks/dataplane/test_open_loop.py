"""The client that sends by the clock, against a real socket."""

import socket
import threading
from collections.abc import Iterator

import pytest
from benchmarks.dataplane.open_loop import Connection, content_length, run

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


class Server:
    """Answers each read, in pieces, and stops doing so when told to."""

    def __init__(self, answer: bytes) -> None:
        self.requests = 0
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with accepted:
            while accepted.recv(4096):
                self.requests += 1
                half = len(self._answer) // 2
                accepted.sendall(self._answer[:half])
                accepted.sendall(self._answer[half:])

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(ANSWER)
    yield made
    made.close()


def test_every_request_that_was_due_is_sent_and_timed(server: Server) -> None:
    connections = [Connection("127.0.0.1", server.port, b"GET / HTTP/1.1\r\n\r\n") for _ in range(2)]
    latencies = run(connections, rate=200, seconds=0.2)
    assert len(latencies) == server.requests == 40
    assert all(latency > 0 for latency in latencies)


def test_waiting_for_a_free_connection_counts(server: Server) -> None:
    """All requests are due at once, and there is one connection: they are answered one after the other."""
    latencies = run([Connection("127.0.0.1", server.port, b"GET / HTTP/1.1\r\n\r\n")], rate=1e6, seconds=20e-6)
    assert len(latencies) == 20
    assert latencies[-1] > latencies[0]


def test_another_status_is_an_error() -> None:
    made = Server(ANSWER.replace(b"200 OK", b"503 No"))
    try:
        with pytest.raises(ValueError, match="503"):
            run([Connection("127.0.0.1", made.port, b"GET / HTTP/1.1\r\n\r\n")], rate=100, seconds=0.01)
    finally:
        made.close()


def test_an_answer_without_a_length_is_an_error() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 12") == 12
    with pytest.raises(ValueError, match="length"):
        content_length(b"HTTP/1.1 200 OK")
