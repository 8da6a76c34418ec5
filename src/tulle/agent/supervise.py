"""Keeps one Envoy running for every proxy that the node should have.

Traffic depends on the proxies and on nothing else of a node, so they outlive the agent: each runs in its own session,
its directory says which process it is, and a new agent takes over what it finds running. Whatever happens there is
never more than one Envoy for a proxy: a lock that the Envoy itself holds sees to that (launch_envoy.py).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tulle.agent.envoy_command import EnvoyCommand
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.proxy_keeper import ProxyKeeper, ProxyStatus, SuperviseLimits
from tulle.model.names import ProxyId


class Supervisor:
    """Runs the proxies that `want` names. Cancelling `run` leaves them running; `stop_all` ends them.

    `clock` is monotonic, in seconds. `live` hears of every proxy that has become live, each time.
    """

    def __init__(
        self,
        run_dir: Path,
        command: EnvoyCommand,
        limits: SuperviseLimits = SuperviseLimits(),  # noqa: B008 (frozen)
        clock: Callable[[], float] = time.monotonic,
        live: Callable[[ProxyId], None] = lambda _: None,
    ) -> None:
        self._run_dir = run_dir
        self._command = command
        self._limits = limits
        self._clock = clock
        self._live = live
        self._wanted: frozenset[ProxyId] | None = None
        self._keepers: dict[ProxyId, ProxyKeeper] = {}
        self._changed = asyncio.Event()

    def want(self, proxies: Iterable[ProxyId]) -> None:
        """Says which proxies should run. Those left over from before and not named are drained and ended."""
        self._wanted = frozenset(proxies)
        self._changed.set()

    def statuses(self) -> tuple[ProxyStatus, ...]:
        return tuple(self._keepers[proxy].status for proxy in sorted(self._keepers, key=str))

    async def run(self) -> None:
        """Supervises until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._wanted is not None:
                    self._apply(self._wanted, tasks)

    async def stop_all(self) -> None:
        """Drains and ends every proxy; returns when all have ended. `run` has to be running."""
        self.want(())
        for keeper in self._keepers.values():
            keeper.set_wanted(False)
        while self._keepers:
            await asyncio.wait([keeper.task for keeper in self._keepers.values() if keeper.task])

    def _apply(self, wanted: frozenset[ProxyId], tasks: asyncio.TaskGroup) -> None:
        for proxy in wanted | self._left_over():
            if proxy not in self._keepers:
                directory = ProxyDirectory.of(self._run_dir, proxy)
                live = partial(self._live, proxy)
                keeper = ProxyKeeper(proxy, directory, self._command, self._limits, self._clock, live)
                self._keepers[proxy] = keeper
                keeper.task = tasks.create_task(self._keep(keeper), name=f"keep {proxy}")
        for proxy, keeper in self._keepers.items():
            keeper.set_wanted(proxy in wanted)

    async def _keep(self, keeper: ProxyKeeper) -> None:
        await keeper.run()
        del self._keepers[keeper.proxy]
        # It may have been wanted again at the last moment.
        self._changed.set()

    def _left_over(self) -> frozenset[ProxyId]:
        """All that have a directory here. Of those that run no more, and are not wanted, only that goes."""
        states = (ProxyDirectory(state.parent).read_state() for state in self._run_dir.glob("proxies/*/process.json"))
        proxies = (ProxyId.parse(state.proxy) for state in states if state)
        return frozenset(proxy for proxy in proxies if proxy)
