"""What the commands of this host ask the agent, on a unix socket: to enter a workload's namespace, to join the mesh.

One line of JSON each way. The kernel says who asks (SO_PEERCRED): nobody but the agent's own user is answered.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from tulle.agent.host import Admission, Host, NotAdmitted
from tulle.agent.joined import Joined
from tulle.agent.pidfd import ProcessIdentity, identity_of
from tulle.agent.roster import Record
from tulle.model.names import WorkloadName

log = logging.getLogger(__name__)

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
    """How to get into a workload's namespace: its path, what is hidden inside, and the agent's process, whose own
    namespaces it is in where the agent is an ordinary user's."""

    workload: str
    namespace: str
    network: str
    run_dir: str
    hidden: tuple[str, ...]
    agent_pid: int


class Failed(Struct, frozen=True, tag=True):
    message: str
    hint: str = ""


Request: TypeAlias = Enter | Join
Answer: TypeAlias = Entrance | Failed


class LocalApi:
    """Answers until cancelled. `joined` runs the workloads of processes that join."""

    def __init__(self, host: Host, joined: Joined, run_dir: Path, hidden: tuple[Path, ...]) -> None:
        self._host = host
        self._joined = joined
        self._run_dir = run_dir
        self._hidden = hidden

    async def serve(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        server = await asyncio.start_unix_server(self._converse, sock=listener, limit=MAX_REQUEST)
        try:
            async with server:
                await server.serve_forever()
        finally:
            path.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await self._answer(await reader.readline(), _peer(writer))
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError) as error:
            log.warning("a command of this host was not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes, peer: ProcessIdentity | None) -> Answer:
        if peer is None:
            return Failed("the agent is another user's")
        try:
            request = msgspec.json.decode(line, type=Enter | Join)
        except msgspec.DecodeError as error:
            return Failed(f"the request is not understood: {error}", "is `tulle` here of another version?")
        return self._enter(request) if isinstance(request, Enter) else await self._join(request, peer)

    def _enter(self, request: Enter) -> Answer:
        here = [r for r in self._host.roster.records() if r.name.namespace == request.namespace]
        named = [r for r in here if request.name in (r.name.name, r.app)]
        if not named:
            known = ", ".join(sorted({r.app or r.name.name for r in here}))
            return Failed(
                f"no workload {request.name} in namespace {request.namespace} runs on this node",
                f"there are: {known}" if known else "see `tulle get workloads -A`",
            )
        return self._entrance(min(named, key=lambda r: (r.state != "Ready", r.name)))

    async def _join(self, request: Join, peer: ProcessIdentity) -> Answer:
        name = WorkloadName(request.namespace, request.name)
        if self._host.roster.get(name) is not None:
            return Failed(f"there is a workload {name} already", "give this one another --name")
        admission = Admission(name, request.service_account, request.mode, request.labels, request.ports)
        try:
            record = await self._joined.admit(admission, peer)
        except NotAdmitted as error:
            return Failed(str(error))
        return self._entrance(record)

    def _entrance(self, record: Record) -> Entrance:
        return Entrance(
            record.name.name,
            record.name.namespace,
            record.network,
            str(self._run_dir),
            tuple(map(str, self._hidden)),
            os.getpid(),
        )


def _peer(writer: asyncio.StreamWriter) -> ProcessIdentity | None:
    """The process at the other end, if it is the agent's own user's (or root's)."""
    connection: socket.socket = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return identity_of(pid) if uid in (0, os.getuid()) else None
