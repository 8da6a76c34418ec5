"""A control plane in a process of its own, that can be asked how late its event loop is.

Usage: python -m benchmarks.controlplane.server <settings as JSON>. Prints Started once it serves. A line on stdin asks
for how late the loop was since the last one, in seconds, as a JSON list.
"""

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.controlplane.resources import Size, fill, nodes
from tulle.control.app import ControlPlane, ControlSettings

TRUST_DOMAIN = "bench.local"
_EVERY = 0.005
_TOKEN_LIFETIME = timedelta(hours=1)


class ServerSettings(Struct, frozen=True):
    """`store` is a URL. One in memory is filled here, before anything is measured; any other is full already."""

    directory: str
    store: str
    size: Size


class Started(Struct, frozen=True):
    """`tokens` lets each node enrol."""

    xds_port: int
    enrolment_port: int
    tokens: dict[str, str]


class Lateness:
    """How much later than asked a timer of this loop runs: how long anything else waits, too."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY
            await asyncio.sleep(_EVERY)
            self._seconds.append(loop.time() - due)

    def take(self) -> list[float]:
        taken, self._seconds = self._seconds, []
        return taken


async def main(settings: ServerSettings) -> None:
    directory = Path(settings.directory)
    plane = ControlPlane(
        ControlSettings(
            TRUST_DOMAIN,
            directory / "control",
            directory / "api.sock",
            "127.0.0.1:0",
            "127.0.0.1:0",
            settings.store,
        )
    )
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(plane.serve(started), name="control plane")
        await started.wait()
        if settings.store == "memory:":
            await plane.refresh.reached(await fill(plane.backend.store, settings.size))
        tokens = {
            node: await plane.backend.create_token(node, ("*/*",), _TOKEN_LIFETIME)
            for node in nodes(settings.size.callers)
        }
        lateness = Lateness()
        measuring = tasks.create_task(lateness.run(), name="lateness")
        _say(msgspec.json.encode(Started(plane.xds_port, plane.enrolment_port, tokens)))
        while await asyncio.to_thread(sys.stdin.readline):
            _say(msgspec.json.encode(lateness.take()))
        measuring.cancel()
        serving.cancel()


def _say(line: bytes) -> None:
    print(line.decode(), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=ServerSettings)))
