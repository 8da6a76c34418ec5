"""Runs the applications that the control plane wants on this node: one replica each, replaced when its App changes.

The new replicas of a changed App are ready before the old ones leave.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from tulle.agent.host import Host
from tulle.agent.replica import Replica, ReplicaSettings
from tulle.agent.roster import Record
from tulle.model.names import WorkloadName
from tulle.view.types import AppView, NodeView

log = logging.getLogger(__name__)


class Applications:
    """The replicas of this node. `apply` says what they should be; `run` has to be running."""

    def __init__(self, host: Host, settings: ReplicaSettings) -> None:
        self._host = host
        self._settings = settings
        self._replicas: dict[WorkloadName, Replica] = {}
        self._view: NodeView | None = None
        self._wake = asyncio.Event()

    def apply(self, view: NodeView) -> None:
        """Takes what the control plane wants now."""
        self._view = view
        self._wake.set()

    def adopt(self, records: Iterable[Record]) -> None:
        """Takes over replicas that an earlier agent ran. Call before `run`."""
        for record in records:
            self._replicas[record.name] = Replica.adopted(self._host, self._settings, record)

    async def run(self) -> None:
        """Follows `apply` for ever. Cancelling leaves the applications running."""
        async with asyncio.TaskGroup() as tasks:
            for replica in self._replicas.values():
                self._start(tasks, replica)
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._view is not None:
                    self._reconcile(tasks, self._view)

    async def stop_all(self) -> None:
        """Ends every application at once, without waiting for clients: the whole mesh stops. None is started anew."""
        self._view = None
        await asyncio.gather(*(r.kill() for r in self._replicas.values()))

    def _reconcile(self, tasks: asyncio.TaskGroup, view: NodeView) -> None:
        wanted = {(app.namespace, app.name): app for app in view.apps}
        for replica in list(self._replicas.values()):
            if replica.app_name not in wanted:
                replica.leave()
        for app in view.apps:
            self._reconcile_app(tasks, app)

    def _reconcile_app(self, tasks: asyncio.TaskGroup, app: AppView) -> None:
        digest = digest_of(app)
        own = [r for r in self._replicas.values() if r.app_name == (app.namespace, app.name) and not r.leaving]
        current = [r for r in own if r.digest == digest]
        for replica in current:
            replica.app = app  # an adopted one has not heard of its App yet
        for _ in range(app.replicas - len(current)):
            replica = Replica(self._host, self._settings, _new_name(app), app, digest)
            self._replicas[replica.name] = replica
            current.append(replica)
            self._start(tasks, replica)
        for replica in current[app.replicas :]:
            replica.leave()
        if all(r.ready for r in current[: app.replicas]):
            for replica in own:
                if replica.digest != digest:
                    replica.leave()

    def _start(self, tasks: asyncio.TaskGroup, replica: Replica) -> None:
        tasks.create_task(self._run(replica), name=f"replica {replica.name}")

    async def _run(self, replica: Replica) -> None:
        try:
            await replica.run(on_change=self._wake.set)
        finally:
            self._replicas.pop(replica.name, None)
            self._wake.set()  # one that failed is made anew


def digest_of(app: AppView) -> str:
    """Names the version of an App that its workloads are made from: everything but how many there are.

    What has its default does not count, so that an agent which knows of more fields than the one before it takes over
    the workloads of that one.
    """
    body = msgspec.json.encode(_said(replace(app, replicas=0)), order="deterministic")
    return hashlib.sha256(body).hexdigest()[:16]


def _said(value: object) -> object:
    """A Struct as its type's name and the fields that differ from their defaults; anything else as it is."""
    if not isinstance(value, Struct):
        return value
    values = ((field, getattr(value, field.name)) for field in fields(value))
    return type(value).__name__, {field.name: _said(each) for field, each in values if each != field.default}


def _new_name(app: AppView) -> WorkloadName:
    return WorkloadName(app.namespace, f"{app.name[:200]}-{secrets.token_hex(3)}")
