"""Starts an Envoy that outlives whoever started it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tulle.agent.pidfd import ProcessIdentity, identity_of
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.model.names import ProxyId

_LAUNCHER = Path(__file__).with_name("launch_envoy.py")


class EnvoyCommand(Struct, frozen=True):
    """How an Envoy is started. `network_of` gives the network namespace to start it in; None: the agent's own. `user`
    is the number of the user (and group) that it runs as; None: the agent's own."""

    binary: Path
    bootstrap_of: Callable[[ProxyId], bytes]
    network_of: Callable[[ProxyId], Path | None] = lambda _: None
    concurrency: int = 1
    drain_seconds: int = 10
    user: int | None = None

    def start(self, proxy: ProxyId, directory: ProxyDirectory, restarts: int) -> ProcessIdentity | None:
        """Starts the Envoy of `proxy`. None: it has ended already. Raises OSError, UnsafeFile."""
        directory.make(self.user)
        directory.write_bootstrap(self.bootstrap_of(proxy), self.user)
        network = self.network_of(proxy)
        log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_LAUNCHER)),
                    *(str(directory.path), str(network or ""), "" if self.user is None else str(self.user)),
                    *(str(restarts), str(proxy), "--"),
                    *(str(self.binary), "-c", str(directory.bootstrap), "--disable-hot-restart"),
                    *("--concurrency", str(self.concurrency), "--drain-time-s", str(self.drain_seconds)),
                    *("--log-level", "warning"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Signals of the agent's terminal are not for the proxy.
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
        # It is watched by pidfd, and may outlive this process: Popen has no more to do with it.
        child.returncode = 0
        return identity_of(child.pid)
