"""Answers the commands of this host, which ask to enter a workload's namespace or to join the mesh.

The kernel says who asks (SO_PEERCRED): nobody but the agent's own user is answered.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from tulle.agent.host import Admission, NotAdmitted
from tulle.agent.local_messages import ANSWER_WITHIN, MAX_REQUEST, Answer, Enter, Entrance, Failed, Join
from tulle.agent.pidfd import ProcessIdentity, identity_of
from tulle.agent.roster import Record, Roster
from tulle.identity.private_socket import bind_private
from tulle.model.metadata import Metadata
from tulle.model.names import WorkloadName
from tulle.model.parse import InvalidResource, decode_json, encode_json
from tulle.model.problem import Problem
from tulle.model.validate import validate
from tulle.model.workload import Workload, WorkloadPortSpec, WorkloadSpec

log = logging.getLogger(__name__)

_OTHER_VERSION = "is `tulle` here of another version?"


class Joining(Protocol):
    """Runs the workloads of processes that join: Joined."""

    async def admit(self, admission: Admission, process: ProcessIdentity) -> Record: ...


class LocalApi:
    """Answers until cancelled."""

    def __init__(
        self,
        roster: Roster,
        joined: Joining,
        run_dir: Path,
        hidden: tuple[Path, ...],
        search_domain: Callable[[], str],
    ) -> None:
        self._roster = roster
        self._joined = joined
        self._run_dir = run_dir
        self._hidden = hidden
        self._search_domain = search_domain

    async def serve(self, path: Path) -> None:
        server = await asyncio.start_unix_server(self._converse, sock=bind_private(path), limit=MAX_REQUEST)
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
        except (OSError, ValueError) as error:  # it took too long, has hung up, or sent no end of a line
            log.warning("a command of this host was not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes, peer: ProcessIdentity | None) -> Answer:
        if peer is None:
            return Failed("the agent is another user's")
        try:
            request = msgspec.json.decode(line, type=Enter | Join)
        except (msgspec.DecodeError, RecursionError) as error:
            return Failed(f"the request is not understood: {error}", _OTHER_VERSION)
        return self._enter(request) if isinstance(request, Enter) else await self._join(request, peer)

    def _enter(self, request: Enter) -> Answer:
        here = [r for r in self._roster.records() if r.name.namespace == request.namespace]
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
        if self._roster.get(name) is not None:
            return Failed(f"there is a workload {name} already", "give this one another --name")
        if problems := _problems(request):
            return Failed("; ".join(str(problem) for problem in problems))
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
            self._search_domain(),
        )


def _problems(request: Join) -> tuple[Problem, ...]:
    """What the control plane would not take: it refuses a whole report for one workload that it cannot read, and
    names are paths here."""
    asked = Workload(
        metadata=Metadata(name=request.name, namespace=request.namespace, labels=request.labels),
        spec=WorkloadSpec(
            address="127.0.0.1",
            mesh_port=1,
            service_account=request.service_account,
            ports=tuple(WorkloadPortSpec(port, name) for name, port in request.ports),
        ),
    )
    try:
        return validate(decode_json(encode_json(asked)))
    except InvalidResource as error:
        return error.problems


def _peer(writer: asyncio.StreamWriter) -> ProcessIdentity | None:
    """The process at the other end, if it is the agent's own user's (or root's)."""
    connection: socket.socket = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return identity_of(pid) if uid in (0, os.getuid()) else None
