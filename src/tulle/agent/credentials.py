"""What the node proves itself with: kept fresh, and the channel that is made with it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn, Self

import grpc

from tulle.agent.chance import jitter as real_jitter
from tulle.agent.chance import now as real_now
from tulle.identity.client import NodeClient, NodeCredentials, enrol, load, mtls_channel, renew, save
from tulle.identity.errors import Denied, InvalidCertificate, Unavailable
from tulle.identity.messages import CertificateReply, ReportReply, ReportRequest
from tulle.identity.rotation import backoff, next_rotation, warning_level
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import JoinToken
from tulle.model.names import WorkloadName
from tulle.stream.client import CLIENT_OPTIONS

log = logging.getLogger(__name__)

_LONGEST_WAIT = timedelta(seconds=5)
_LONGEST_SLEEP = timedelta(minutes=1)
"""The wall clock may be set while the task sleeps, or the host suspended."""

_LAST_CALLS = 10.0
"""How long calls on a channel that has been replaced may take to end; streams are opened again on the new one."""


class Credentials:
    """`channel` is the present channel to the control plane at `address` (`host:port`). `jitter` gives numbers from
    -1 to 1."""

    def __init__(
        self,
        credentials: NodeCredentials,
        directory: Path,
        address: str,
        now: Callable[[], datetime] = real_now,
        jitter: Callable[[], float] = real_jitter,
    ) -> None:
        self._credentials = credentials
        self._directory = directory
        self._address = address
        self._now = now
        self._jitter = jitter
        self._failures = 0
        self._due = self._half_life()
        self._warned = 0
        self.channel: grpc.aio.Channel = mtls_channel(credentials, address, CLIENT_OPTIONS)

    @classmethod
    async def obtain(
        cls,
        node: NodeIdentity,
        directory: Path,
        address: str,
        enrolment_address: str,
        read_token: Callable[[], JoinToken],
        now: Callable[[], datetime] = real_now,
        jitter: Callable[[], float] = real_jitter,
    ) -> Self:
        """Those that are kept, where they are in time; else those that a join token gives, as soon as the control plane
        is there. `read_token` is called only then. Raises what it raises, and IdentityError and OSError."""
        kept = load(directory, node)
        if kept is None or kept.svid.not_after <= now():
            kept = await _enrolled(read_token(), enrolment_address, node, jitter)
            save(kept, directory)
        return cls(kept, directory, address, now, jitter)

    @property
    def bundle_pem(self) -> str:
        return self._credentials.bundle_pem

    async def issue(self, workload: WorkloadName, csr_pem: str) -> CertificateReply:
        return await NodeClient(self.channel).issue(workload, csr_pem)

    async def report(self, request: ReportRequest) -> ReportReply:
        return await NodeClient(self.channel).report(request)

    async def run(self) -> NoReturn:
        """Renews at half-life, for ever; keeps the present one while the control plane is away."""
        while True:
            due = await self.step()
            wait = min(due - self._now(), _LONGEST_SLEEP)
            await asyncio.sleep(max(wait.total_seconds(), 0))

    async def step(self) -> datetime:
        """Renews if it is time to. Returns when it is the next time."""
        if self._now() >= self._due:
            try:
                await self._renew()
            except (Denied, Unavailable, InvalidCertificate) as error:
                self._failures += 1
                log.warning("the node's certificate could not be renewed: %s", error)
                self._warn()
                self._due = self._now() + backoff(self._failures, self._jitter())
            else:
                self._failures, self._due, self._warned = 0, self._half_life(), 0
        return self._due

    def _warn(self) -> None:
        """Once at each of the levels."""
        svid = self._credentials.svid
        level = warning_level(svid.not_before, svid.not_after, self._now())
        if level > self._warned:
            self._warned = level
            log.warning(
                "%d %% of the life of the node's certificate is over, and it is not renewed; it ends at %s, and with "
                "it this node's place in the mesh",
                level,
                svid.not_after.isoformat(),
            )

    async def _renew(self) -> None:
        self._credentials = await renew(NodeClient(self.channel), self._credentials)
        try:
            save(self._credentials, self._directory)
        except OSError as error:
            log.error("the node's new certificate is in use, but could not be kept: %s", error)
        old, self.channel = self.channel, mtls_channel(self._credentials, self._address, CLIENT_OPTIONS)
        await old.close(grace=_LAST_CALLS)

    def _half_life(self) -> datetime:
        svid = self._credentials.svid
        return next_rotation(svid.not_before, svid.not_after, self._jitter())


async def _enrolled(token: JoinToken, address: str, node: NodeIdentity, jitter: Callable[[], float]) -> NodeCredentials:
    """Waits for a control plane that is not there: a host and what it needs may start in any order."""
    failures = 0
    while True:
        try:
            return await enrol(token, address, node.node, trust_domain=node.trust_domain)
        except Unavailable as error:
            failures += 1
            wait = min(backoff(failures, jitter()), _LONGEST_WAIT)
            log.warning("this host is no node yet, tried again in %.1f s: %s", wait.total_seconds(), error)
            await asyncio.sleep(wait.total_seconds())
