"""Carries out what a relay's state decides: between a stream to the control plane, a file, and whoever is served.

The file is read before anything is asked, so that what was there before is served at once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import grpc
from msgspec import Struct

from tulle.agent.cache import CacheFile, WriteBehind
from tulle.agent.relay_state import Answer, Changed, Fallback, Output, RelayState, Save, Subscribe, Unsubscribe
from tulle.agent.upstream import Upstream, UpstreamTimes
from tulle.stream.client import Update


class UpstreamSettings(Struct, frozen=True):
    """What the links of an agent have in common. `channel` gives its present channel to the control plane, made with
    stream.client.CLIENT_OPTIONS; `jitter` numbers from 0 to 1."""

    channel: Callable[[], grpc.aio.Channel]
    jitter: Callable[[], float]
    times: UpstreamTimes = UpstreamTimes()


class Link:
    """One client of the control plane, `node`, with its cache at `path`. `tell` hears what may have changed, `opened`
    of every new stream to the control plane."""

    def __init__(
        self,
        node: str,
        path: Path,
        settings: UpstreamSettings,
        tell: Callable[[Changed], None],
        fallback: Fallback,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = CacheFile(path)
        contents, self.problem = self._file.load()
        self.state = RelayState(contents, fallback)
        self._writer = WriteBehind(self._file, self.state.contents)
        self._upstream = Upstream(node, settings.channel, self, settings.jitter, settings.times)
        self._tell = tell
        self.opened = opened
        self.carry_out(self.state.wishes())

    @property
    def connected(self) -> bool:
        return self._upstream.connected

    def carry_out(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Subscribe(type_url, names):
                    self._upstream.client.subscribe(type_url, names)
                case Unsubscribe(type_url, names):
                    self._upstream.client.unsubscribe(type_url, names)
                case Answer(update, None):
                    self._upstream.client.ack(update)
                case Answer(update, str() as error):
                    self._upstream.client.nack(update, error)
                case Changed():
                    self._tell(output)
                case Save():
                    self._writer.changed()
        self._upstream.wake()

    async def run(self) -> None:
        """Speaks with the control plane and writes the cache until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._upstream.run(), name="upstream")
            tasks.create_task(self._writer.run(), name="cache")

    def forget(self) -> None:
        """Deletes the cache. Call after `run` has ended."""
        self._file.delete()

    # What the stream to the control plane calls

    @property
    def asks(self) -> bool:
        return self.state.asks

    def held(self, type_url: str) -> Mapping[str, str]:
        return self.state.held(type_url)

    def lost(self) -> None:
        self.state.upstream_lost()

    def received(self, update: Update) -> None:
        self.carry_out(self.state.received(update))

    def away(self, away: bool) -> None:
        self.carry_out(self.state.set_away(away))
