"""What the commands of a host and its agent say to each other: one line of JSON each way on a unix socket.

Apart from the agent that answers, so that `tulle exec` starts at once.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

MAX_REQUEST = 64 * 1024
ANSWER_WITHIN = 120.0


class Enter(Struct, frozen=True, tag=True):
    """Asks where a workload is. `name` is the workload's or its App's; of several replicas one that is ready."""

    namespace: str
    name: str


class Join(Struct, frozen=True, tag=True):
    """Asks for a workload for the asking process, which lives as long as that."""

    namespace: str
    name: str
    service_account: str
    mode: Literal["sidecar", "node"]
    ports: tuple[tuple[str, int], ...] = ()
    labels: Mapping[str, str] = {}


class Entrance(Struct, frozen=True, tag=True):
    """How to get into a workload's namespace: its path, what is hidden inside, the agent's process, whose own
    namespaces it is in where the agent is an ordinary user's, and the domain that completes short names."""

    workload: str
    namespace: str
    network: str
    run_dir: str
    hidden: tuple[str, ...]
    agent_pid: int
    search_domain: str


class Failed(Struct, frozen=True, tag=True):
    message: str
    hint: str = ""


Request: TypeAlias = Enter | Join
Answer: TypeAlias = Entrance | Failed
