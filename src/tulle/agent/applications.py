"""Runs the applications that the control plane wants on this node: their replicas, replaced when their App changes.

The new replicas of a changed App are ready before the old ones leave.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from tulle.agent.finished import Finished, FinishedReplicas
from tulle.agent.host import NotAdmitted, Workloads
from tulle.agent.replica import Processes, Replica
from tulle.agent.restart_policy import RestartLimits, RestartPolicy
from tulle.agent.roster import Record
from tulle.model.names import AppName, WorkloadName
from tulle.view.types import AppView, NodeView

log = logging.getLogger(__name__)

ADMISSIONS = RestartLimits(first_delay=1, longest_delay=30)


class _Pause(Struct, frozen=True):
    """No replica of a version of an App is made before `until`: the last one was not admitted."""

    policy: RestartPolicy
    until: float


class Applications:
    """The replicas of this node. `apply` says what they should be; `run` has to be running."""

    def __init__(self, host: Workloads, processes: Processes, finished: FinishedReplicas) -> None:
        self._host = host
        self._processes = processes
        self._finished = finished
        self._replicas: dict[WorkloadName, Replica] = {}
        self._tasks: dict[WorkloadName, asyncio.Task[None]] = {}
        self._pauses: dict[str, _Pause] = {}
        self._view: NodeView | None = None
        self._wake = asyncio.Event()

    def apply(self, view: NodeView) -> None:
        """Takes what the control plane wants now."""
        self._view = view
        self._wake.set()

    def adopt(self, records: Iterable[Record]) -> None:
        """Takes over replicas that an earlier agent ran, and those that had finished. Call before `run`."""
        finished = {each.name: each for each in self._finished.all()}
        for record in records:
            replica = self._make(
                record.name,
                AppName(record.name.namespace, record.app),
                record.digest,
                admitted=True,
                ready=record.state == "Ready",
                finished=record.name in finished,
            )
            if record.state == "Draining":
                replica.leave()
        for each in finished.values():
            if each.name not in self._replicas:
                self._make(each.name, each.app, each.digest, finished=True)

    def _make(
        self,
        name: WorkloadName,
        app: AppName,
        digest: str,
        admitted: bool = False,
        ready: bool = False,
        finished: bool = False,
    ) -> Replica:
        made = Replica(self._host, self._processes, name, app, digest, self._changed, admitted, ready, finished)
        self._replicas[name] = made
        return made

    def _changed(self, replica: Replica) -> None:
        if replica.finished:
            self._finished.add(Finished(replica.name, replica.app, replica.digest))
        self._wake.set()

    async def run(self) -> None:
        """Follows `apply` for ever. Cancelling leaves the applications running."""
        async with asyncio.TaskGroup() as tasks:
            for replica in self._replicas.values():
                if replica.admitted:
                    self._start(tasks, replica)
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._view is not None:
                    self._reconcile(tasks, self._view)

    async def stop_all(self) -> None:
        """Ends every application at once, without waiting for clients: the whole mesh stops. None is started anew."""
        self._view = None
        for replica in list(self._replicas.values()):
            replica.kill()
            self._let_go(replica)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _reconcile(self, tasks: asyncio.TaskGroup, view: NodeView) -> None:
        wanted = {AppName(app.namespace, app.name): digest_of(app) for app in view.apps}
        self._pauses = {digest: pause for digest, pause in self._pauses.items() if digest in wanted.values()}
        for replica in list(self._replicas.values()):
            if replica.app not in wanted:
                self._let_go(replica)
        for app in view.apps:
            self._reconcile_app(tasks, app)

    def _reconcile_app(self, tasks: asyncio.TaskGroup, app: AppView) -> None:
        name, digest = AppName(app.namespace, app.name), digest_of(app)
        own = [r for r in self._replicas.values() if r.app == name and not r.leaving]
        for replica in own:
            if replica.digest == digest:
                replica.learn(app)
        missing, surplus = changes(app.replicas, digest, own)
        for replica in surplus:
            self._let_go(replica)
        pause = self._pauses.get(digest)
        if pause is not None and asyncio.get_running_loop().time() < pause.until:
            return
        for _ in range(missing):
            made = self._make(_new_name(app), name, digest)
            made.learn(app)
            self._start(tasks, made)

    def _let_go(self, replica: Replica) -> None:
        """One that is in the mesh goes in order; one that is not yet never will be."""
        replica.leave()
        task = self._tasks.get(replica.name)
        if task is None:
            self._drop(replica)
        elif not replica.admitted:
            task.cancel()

    def _start(self, tasks: asyncio.TaskGroup, replica: Replica) -> None:
        task = tasks.create_task(self._run(replica), name=f"replica {replica.name}")
        self._tasks[replica.name] = task
        task.add_done_callback(lambda _: self._ended(replica))

    async def _run(self, replica: Replica) -> None:
        try:
            if not replica.admitted:
                await replica.admit()
        except NotAdmitted as error:
            self._pause(replica.digest, error)
            return
        self._pauses.pop(replica.digest, None)
        await replica.run()

    def _ended(self, replica: Replica) -> None:
        """One that has finished stays, so that none is made in its place."""
        del self._tasks[replica.name]
        if replica.leaving or not replica.finished:
            self._drop(replica)
        self._wake.set()

    def _drop(self, replica: Replica) -> None:
        self._replicas.pop(replica.name, None)
        self._finished.remove(replica.name)
        self._processes.tidy_logs(self._replicas)

    def _pause(self, digest: str, error: NotAdmitted) -> None:
        """Several replicas that fail together count once."""
        loop = asyncio.get_running_loop()
        before = self._pauses.get(digest)
        if before is None or before.until <= loop.time():
            policy = (before.policy if before else RestartPolicy(ADMISSIONS)).ended(healthy_for=0)
            self._pauses[digest] = _Pause(policy, loop.time() + policy.delay)
            loop.call_later(policy.delay, self._wake.set)
        log.error("%s; again in %.1f s", error, self._pauses[digest].until - loop.time())


def changes(count: int, digest: str, own: Sequence[Replica]) -> tuple[int, tuple[Replica, ...]]:
    """What makes `count` replicas of the version `digest` of the replicas that an App has: how many to make, and which
    to let go. Those of another version go once the new ones are ready, or at once where they take no requests."""
    current = sorted((r for r in own if r.digest == digest), key=lambda r: not (r.ready or r.finished))
    kept, surplus = current[:count], current[count:]
    replaced = len(kept) == count and all(r.ready or r.finished for r in kept)
    outdated = [r for r in own if r.digest != digest and (replaced or not r.ready)]
    return count - len(kept), (*surplus, *outdated)


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
    return WorkloadName(app.namespace, f"{app.name}-{secrets.token_hex(3)}")
