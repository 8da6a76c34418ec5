"""Says where a host keeps what runs and what lasts, so that every process and command looks in the same place.

The environment and the user are arguments: nothing here reads or makes anything.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class RunPaths(Struct, frozen=True):
    """`run_dir` holds sockets, keys and namespaces and is empty after a reboot; `state_dir` is kept. Both are 0700."""

    run_dir: Path
    state_dir: Path

    @property
    def api_socket(self) -> Path:
        """The control plane's HTTP API."""
        return self.run_dir / "api.sock"

    @property
    def agent_socket(self) -> Path:
        """The agent's API for the commands of its host."""
        return self.run_dir / "agent.sock"

    @property
    def xds_socket(self) -> Path:
        """Where the host's proxies ask for their configuration."""
        return self.run_dir / "xds.sock"

    @property
    def svid_dir(self) -> Path:
        """The keys and certificates of the host's workloads."""
        return self.run_dir / "svid"

    @property
    def control_dir(self) -> Path:
        """The control plane's store and certificate authority."""
        return self.state_dir / "control"

    @property
    def agent_dir(self) -> Path:
        """The node's certificate and the agent's cache."""
        return self.state_dir / "agent"

    @property
    def log_dir(self) -> Path:
        """What applications write."""
        return self.agent_dir / "logs"


def run_paths(environment: Mapping[str, str], uid: int) -> RunPaths:
    """The paths of user `uid`. `TULLE_RUN_DIR` and `TULLE_STATE_DIR` decide where they are set."""
    return RunPaths(_run_dir(environment, uid), _state_dir(environment, uid))


def _run_dir(environment: Mapping[str, str], uid: int) -> Path:
    if chosen := environment.get("TULLE_RUN_DIR"):
        return Path(chosen)
    if uid == 0:
        return Path("/run/tulle")
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "tulle"
    return Path(f"/tmp/tulle-{uid}")  # noqa: S108 (who makes it checks its owner and mode)


def _state_dir(environment: Mapping[str, str], uid: int) -> Path:
    if chosen := environment.get("TULLE_STATE_DIR"):
        return Path(chosen)
    if uid == 0:
        return Path("/var/lib/tulle")
    if state := environment.get("XDG_STATE_HOME"):
        return Path(state) / "tulle"
    return Path(environment.get("HOME", "/nonexistent")) / ".local" / "state" / "tulle"
