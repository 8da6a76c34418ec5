"""Asks questions from inside a workload's namespace: a line of JSON in, a line of JSON out, until the input ends.

Run by path in there; it knows nothing of the tests.
"""

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 20.0


def ask_http(question: Mapping[str, Any]) -> dict[str, Any]:
    """One request on a connection of its own; redirects are not followed."""
    url = urlsplit(question["url"])
    connection = http.client.HTTPConnection(
        url.hostname or "", url.port or 80, timeout=question.get("timeout", TIMEOUT)
    )
    with contextlib.closing(connection):
        return _exchange(connection, question)


def _exchange(connection: http.client.HTTPConnection, question: Mapping[str, Any]) -> dict[str, Any]:
    url = urlsplit(question["url"])
    target = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
    body = question.get("body", "").encode() or None
    connection.request(question.get("method", "GET"), target, body, question.get("headers", {}))
    reply = connection.getresponse()
    text = reply.read().decode()
    with contextlib.suppress(ValueError):
        text = json.loads(text)
    return {"status": reply.status, "headers": {k.lower(): v for k, v in reply.getheaders()}, "body": text}


def ask_many(question: Mapping[str, Any]) -> dict[str, int]:
    """The same GET `count` times; how often the response's `header` had which value."""
    url = urlsplit(question["url"])
    counts: Counter[str] = Counter()
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT)
    with contextlib.closing(connection):
        for _ in range(question["count"]):
            answer = _exchange(connection, question)
            counts[f"{answer['status']} {answer['headers'].get(question['header'], '')}"] += 1
    return counts


def ask_tcp(question: Mapping[str, Any]) -> dict[str, str]:
    """What a server answers to a line, up to a line's end or the connection's."""
    with socket.create_connection((question["host"], question["port"]), timeout=TIMEOUT) as connection:
        connection.sendall(question["send"].encode())
        return {"received": connection.makefile().readline()}


def ask_udp(question: Mapping[str, Any]) -> dict[str, str]:
    """What comes back for a datagram."""
    family, _, _, _, address = socket.getaddrinfo(question["host"], question["port"], type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(address)
        connection.send(b"hello")
        return {"received": connection.recv(100).decode()}


def ask_addresses(question: Mapping[str, Any]) -> list[str]:
    """All addresses of a name."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(question["name"], 80, type=socket.SOCK_STREAM)})


def ask_grpc(question: Mapping[str, Any]) -> dict[str, Any]:
    """A unary call with JSON for messages."""
    import grpc

    with grpc.insecure_channel(question["target"]) as channel:
        method = channel.unary_unary(
            question["method"], request_serializer=lambda m: json.dumps(m).encode(), response_deserializer=json.loads
        )
        metadata = tuple(question.get("metadata", {}).items())
        try:
            return {"reply": method(question["message"], timeout=TIMEOUT, metadata=metadata, wait_for_ready=False)}
        except grpc.RpcError as error:
            return {"code": error.code().name, "details": error.details()}


class Load:
    """Asks without a pause until told to stop."""

    def __init__(self, question: Mapping[str, Any]) -> None:
        self._question = question
        self._stop = threading.Event()
        self._counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._counts[str(ask_http(self._question)["status"])] += 1
            except (OSError, http.client.HTTPException) as error:
                self._counts[repr(error)] += 1
            time.sleep(self._question.get("pause", 0.01))

    def stop(self) -> Mapping[str, int]:
        self._stop.set()
        self._thread.join()
        return self._counts


LOADS: list[Load] = []


def start_load(question: Mapping[str, Any]) -> dict[str, str]:
    LOADS.append(Load(question))
    return {}


def stop_load(question: Mapping[str, Any]) -> Mapping[str, int]:
    """What was answered, and how often."""
    return LOADS.pop().stop()


KINDS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "http": ask_http,
    "many": ask_many,
    "tcp": ask_tcp,
    "udp": ask_udp,
    "addresses": ask_addresses,
    "grpc": ask_grpc,
    "load": start_load,
    "unload": stop_load,
}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = KINDS[question["kind"]](question)
        except (OSError, http.client.HTTPException) as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)
    for load in LOADS:
        load.stop()


if __name__ == "__main__":
    main()
