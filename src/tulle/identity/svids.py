"""Keeps a certificate for every identity that is needed on a node.

Keys are made here and never leave the node. They are kept in a directory on tmpfs, so that an agent that starts again
while the control plane is away still has them. One that is in time is kept until a newer one has come.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn, TypeAlias

import msgspec
from msgspec import Struct

from tulle.identity.ca import MAX_LIFETIME
from tulle.identity.errors import Denied, InvalidCertificate, Unavailable
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.messages import CertificateReply
from tulle.identity.private_file import make_private_directory, read_private, write_private
from tulle.identity.rotation import backoff, next_rotation, warning_level
from tulle.identity.spiffe_id import checked
from tulle.identity.svid import Svid, certified, from_pem, to_pem
from tulle.model.names import SpiffeId, WorkloadName

_log = logging.getLogger(__name__)

Issue: TypeAlias = Callable[[WorkloadName, str], Awaitable[CertificateReply]]
Listener: TypeAlias = Callable[[], None]

_AT_ONCE = 8
# The wall clock may be set while the loop sleeps, or the host suspended.
_LONGEST_SLEEP = timedelta(seconds=60)


class _Entry(Struct, frozen=True):
    workload: WorkloadName
    due: datetime
    svid: Svid | None = None
    failures: int = 0
    warned: int = 0  # the level that was last warned of


class Svids:
    """`issue` asks the control plane, such as `NodeClient.issue`; `jitter` gives numbers from -1 to 1."""

    def __init__(
        self,
        directory: Path,
        bundle_pem: str,
        issue: Issue,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._bundle_pem = bundle_pem
        self._issue = issue
        self._clock = clock
        self._jitter = jitter
        self._entries: dict[SpiffeId, _Entry] = {}
        self._listeners: list[Listener] = []
        self._wake = asyncio.Event()

    @property
    def bundle_pem(self) -> str:
        """The newest roots that the control plane has told."""
        return self._bundle_pem

    def get(self, identity: SpiffeId) -> Svid | None:
        """The certificate of an identity that is wanted, or None if there is none in time."""
        entry = self._entries.get(identity)
        return entry.svid if entry else None

    def all(self) -> tuple[Svid, ...]:
        """All certificates in time, in order of identity."""
        return tuple(entry.svid for _, entry in sorted(self._entries.items()) if entry.svid)

    def want(self, workloads: Mapping[SpiffeId, WorkloadName]) -> None:
        """Says which identities are needed from now on, each with a workload of this node that has it. Keys of others
        are deleted. Certificates that an earlier agent left are used."""
        for identity in workloads:
            checked(identity)  # it becomes a file's name
        make_private_directory(self._directory)
        before, certificates = self._entries, self.all()
        self._entries = {
            identity: self._wanted(identity, workload, before.get(identity)) for identity, workload in workloads.items()
        }
        for identity in before.keys() - workloads.keys():
            self._path(identity).unlink(missing_ok=True)
        self._wake.set()
        if self.all() != certificates:
            self._notify()

    def retry(self) -> None:
        """Ends all waiting after failures, for when the control plane is back."""
        now = self._clock()
        for identity, entry in self._entries.items():
            if entry.failures:
                self._entries[identity] = msgspec.structs.replace(entry, due=now, failures=0)
        self._wake.set()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after every change of a certificate or the bundle, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def run(self) -> NoReturn:
        """Requests and renews for ever."""
        self._remove_leftovers()
        while True:
            self._wake.clear()
            due = await self.step()
            wait = min(due - self._clock(), _LONGEST_SLEEP) if due else _LONGEST_SLEEP
            with suppress(TimeoutError):
                async with asyncio.timeout(wait.total_seconds()):
                    await self._wake.wait()

    async def step(self) -> datetime | None:
        """Does all that is due and returns when something is again."""
        now = self._clock()
        self._drop_expired(now)
        limit = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for identity, entry in self._entries.items():
                if entry.due <= now:
                    tasks.create_task(self._rotate(identity, limit), name=f"svid {identity}")
        return min(_times(self._entries.values()), default=None)

    async def _rotate(self, identity: SpiffeId, limit: asyncio.Semaphore) -> None:
        async with limit:
            entry = self._entries.get(identity)
            if entry is None:
                return
            key = new_key()
            try:
                reply = await self._issue(entry.workload, signing_request(key))
                svid = certified(key, reply.chain_pem, identity, reply.bundle_pem)
            except (Denied, Unavailable, InvalidCertificate) as error:
                self._failed(identity, error)
            else:
                self._renewed(identity, svid, reply.bundle_pem)

    def _renewed(self, identity: SpiffeId, svid: Svid, bundle_pem: str) -> None:
        entry = self._entries.get(identity)
        if entry is None:  # not wanted any more
            return
        try:
            write_private(self._path(identity), to_pem(svid))
        except OSError as error:
            _log.error("the new certificate of %s is in use, but could not be kept: %s", identity, error)
        self._entries[identity] = _Entry(entry.workload, self._rotation(svid), svid)
        self._bundle_pem = bundle_pem
        self._notify()

    def _failed(self, identity: SpiffeId, error: Exception) -> None:
        entry = self._entries.get(identity)
        if entry is None:
            return
        failures = entry.failures + 1
        wait = backoff(failures, self._jitter())
        self._entries[identity] = msgspec.structs.replace(entry, due=self._clock() + wait, failures=failures)
        until = f"the present one is valid until {entry.svid.not_after.isoformat()}" if entry.svid else "there is none"
        _log.warning("no certificate for %s, again in %.1f s (%s): %s", identity, wait.total_seconds(), until, error)
        if entry.svid:
            self._warn(identity, entry.svid)

    def _warn(self, identity: SpiffeId, svid: Svid) -> None:
        """Once at each of the levels."""
        level = warning_level(svid.not_before, svid.not_after, self._clock())
        entry = self._entries[identity]
        if level > entry.warned:
            self._entries[identity] = msgspec.structs.replace(entry, warned=level)
            _log.warning(
                "%d %% of the life of the certificate of %s is over, and it is not renewed; it ends at %s, and with it "
                "the connections of its workloads",
                level,
                identity,
                svid.not_after.isoformat(),
            )

    def _wanted(self, identity: SpiffeId, workload: WorkloadName, entry: _Entry | None) -> _Entry:
        if entry is None:
            svid = self._kept(identity)
            return _Entry(workload, self._rotation(svid) if svid else self._clock(), svid)
        if entry.workload != workload and entry.failures:
            return _Entry(workload, self._clock(), entry.svid)  # what was refused to one may be given to another
        return msgspec.structs.replace(entry, workload=workload)

    def _kept(self, identity: SpiffeId) -> Svid | None:
        try:
            svid = from_pem(read_private(self._path(identity)), identity, self._bundle_pem)
        except (FileNotFoundError, InvalidCertificate):
            return None
        return svid if svid.not_before <= self._clock() < svid.not_after else None

    def _drop_expired(self, now: datetime) -> None:
        expired = [i for i, entry in self._entries.items() if entry.svid and entry.svid.not_after <= now]
        for identity in expired:
            self._entries[identity] = msgspec.structs.replace(self._entries[identity], svid=None)
        if expired:
            self._notify()

    def _remove_leftovers(self) -> None:
        """Deletes the keys of an earlier agent that nobody wants and whose certificates have ended."""
        oldest = (self._clock() - MAX_LIFETIME).timestamp()
        wanted = {self._path(identity) for identity in self._entries}
        for path in self._directory.glob("*.pem"):
            if path not in wanted and path.stat().st_mtime < oldest:
                path.unlink()

    def _rotation(self, svid: Svid) -> datetime:
        return next_rotation(svid.not_before, svid.not_after, self._jitter())

    def _path(self, identity: SpiffeId) -> Path:
        # No name in a SPIFFE ID has a "~".
        return self._directory / f"{identity.namespace}~{identity.service_account}.pem"

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener()


def _times(entries: Collection[_Entry]) -> list[datetime]:
    return [entry.due for entry in entries] + [entry.svid.not_after for entry in entries if entry.svid]
