"""Sends requests at a fixed rate whatever the answers do, and times each from the moment it was due.

A client that waits for an answer before it sends the next request does not see a stall: it sends less meanwhile. So
requests are due by the clock; one that finds no free connection waits, and that counts. A program of its own without
imports but the standard library, as it runs inside the client's namespace.

Usage: open_loop.py <host> <port> <authority> <requests per second> <seconds> <connections>
Prints the latencies in microseconds as a JSON list.
"""

import collections
import json
import select
import socket
import sys
import time

WARM_UP = 20
LIMIT = 10.0


class Connection:
    """One keep-alive connection with at most one request on it. `due` is when that should have been sent."""

    def __init__(self, host: str, port: int, request: bytes) -> None:
        self.socket = socket.create_connection((host, port), LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._request = request
        self._received = b""

    def send(self, due: float) -> None:
        self.due = due
        self._received = b""
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Reads what there is; whether the answer is complete. Raises OSError, ValueError for anything but 200."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("closed by the other side")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"answered {head[:40]!r}")
        return len(body) >= content_length(head)


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise ValueError("an answer without a length")


def run(connections: "list[Connection]", rate: float, seconds: float) -> "list[float]":
    """Latencies in seconds, of all requests that were due within `seconds`."""
    by_socket = {c.socket: c for c in connections}
    idle = list(connections)
    waiting: collections.deque[float] = collections.deque()
    latencies: list[float] = []
    start = time.perf_counter()
    total = int(rate * seconds)
    sent = 0
    while len(latencies) < total:
        now = time.perf_counter()
        while sent < total and start + sent / rate <= now:
            waiting.append(start + sent / rate)
            sent += 1
        while waiting and idle:
            idle.pop().send(waiting.popleft())
        wait = max(start + sent / rate - time.perf_counter(), 0) if sent < total else LIMIT
        # select() takes microseconds; epoll and so asyncio would round up to a millisecond.
        readable, _, _ = select.select(by_socket, (), (), wait)
        now = time.perf_counter()
        for ready in readable:
            connection = by_socket[ready]
            if connection.receive():
                latencies.append(now - connection.due)
                idle.append(connection)
        if now - start > seconds + LIMIT:
            raise TimeoutError(f"{total - len(latencies)} requests were not answered")
    return latencies


def main(host: str, port: str, authority: str, rate: str, seconds: str, connections: str) -> None:
    request = f"GET / HTTP/1.1\r\nhost: {authority}\r\n\r\n".encode()
    opened = [Connection(host, int(port), request) for _ in range(int(connections))]
    for connection in opened:
        for _ in range(WARM_UP):
            connection.send(0)
            while not connection.receive():
                pass
    print(json.dumps([round(latency * 1e6) for latency in run(opened, float(rate), float(seconds))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
