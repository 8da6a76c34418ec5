"""What the node proves itself with: kept fresh, and the channel that is made with it."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import grpc

from tulle.identity.client import NodeClient, NodeCredentials, enrol, load, mtls_channel, renew, save
from tulle.identity.errors import Denied, InvalidCertificate, Unavailable
from tulle.identity.messages import CertificateReply, ReportReply, ReportRequest
from tulle.identity.rotation import backoff, next_rotation
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import JoinToken
from tulle.model.names import WorkloadName
from tulle.stream.client import CLIENT_OPTIONS

log = logging.getLogger(__name__)

_LONGEST_SLEEP = timedelta(minutes=1)
"""The wall clock may be set while the task sleeps, or the host suspended."""


class Credentials:
    """`channel` is the present channel to the control plane at `address` (`host:port`)."""

    def __init__(self, credentials: NodeCredentials, directory: Path, address: str) -> None:
        self._credentials = credentials
        self._directory = directory
        self._address = address
        self.channel: grpc.aio.Channel = mtls_channel(credentials, address, CLIENT_OPTIONS)

    @classmethod
    async def obtain(
        cls,
        node: NodeIdentity,
        directory: Path,
        address: str,
        enrolment_address: str,
        read_token: Callable[[], JoinToken],
    ) -> Self:
        """Those that are kept, where they are in time; else those that a join token gives. `read_token` is called
        only then. Raises what it raises, and Denied, Untrusted, Unavailable."""
        kept = load(directory, node)
        if kept is None or kept.svid.not_after <= datetime.now(UTC):
            kept = await enrol(read_token(), enrolment_address, node.node)
            save(kept, directory)
        return cls(kept, directory, address)

    @property
    def bundle_pem(self) -> str:
        return self._credentials.bundle_pem

    async def issue(self, workload: WorkloadName, csr_pem: str) -> CertificateReply:
        return await NodeClient(self.channel).issue(workload, csr_pem)

    async def report(self, request: ReportRequest) -> ReportReply:
        return await NodeClient(self.channel).report(request)

    async def run(self) -> None:
        """Renews at half-life, for ever; keeps the present one while the control plane is away."""
        failures = 0
        due = self._due()
        while True:
            wait = min(due - datetime.now(UTC), _LONGEST_SLEEP)
            await asyncio.sleep(max(wait.total_seconds(), 0))
            if datetime.now(UTC) < due:
                continue
            try:
                await self._renew()
            except (Denied, Unavailable, InvalidCertificate) as error:
                failures += 1
                log.warning("the node's certificate could not be renewed: %s", error)
                due = datetime.now(UTC) + backoff(failures, random.uniform(-1, 1))
            else:
                failures, due = 0, self._due()

    async def _renew(self) -> None:
        self._credentials = await renew(NodeClient(self.channel), self._credentials)
        save(self._credentials, self._directory)
        old, self.channel = self.channel, mtls_channel(self._credentials, self._address, CLIENT_OPTIONS)
        await old.close(grace=None)

    def _due(self) -> datetime:
        svid = self._credentials.svid
        return next_rotation(svid.not_before, svid.not_after, random.uniform(-1, 1))
