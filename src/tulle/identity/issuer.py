"""Decides who gets which certificate: the control plane's end of enrolment, renewal and issuing.

Every identity in a certificate comes from here: a node's from its token or its connection, a workload's from the
registered workload. What a request says beside its key and the workload's name is not looked at.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from msgspec import Struct

from tulle.identity.ca import MAX_LIFETIME, Authority, pem, sign
from tulle.identity.errors import Denied, InvalidSpiffeId, InvalidToken
from tulle.identity.keypair import requested_key
from tulle.identity.ledger import Issued, Ledger
from tulle.identity.messages import AttestReply, AttestRequest, CertificateReply, IssueRequest, RenewRequest
from tulle.identity.spiffe_id import Identity, NodeIdentity, check_segment
from tulle.identity.tokens import TokenBook, parse_token
from tulle.model.names import SpiffeId, WorkloadName

_log = logging.getLogger(__name__)


class RegisteredWorkload(Struct, frozen=True):
    """A workload that its node has reported."""

    node: str
    identity: SpiffeId


class WorkloadDirectory(Protocol):
    async def workload(self, name: WorkloadName) -> RegisteredWorkload | None: ...


class Issuer:
    def __init__(
        self,
        authority: Authority,
        tokens: TokenBook,
        directory: WorkloadDirectory,
        clock: Callable[[], datetime],
        lifetime: timedelta = MAX_LIFETIME,
    ) -> None:
        self.trust_domain = authority.trust_domain
        self._authority = authority
        self._tokens = tokens
        self._directory = directory
        self._clock = clock
        self._lifetime = lifetime
        self.ledger = Ledger()

    async def attest(self, request: AttestRequest) -> AttestReply:
        """Enrols a node. The token is used up only by a request that can be answered, and before it is: a reply that
        is lost costs a token, never a second certificate."""
        try:
            token = parse_token(request.token.reveal().decode("ascii", "replace"))
            check_segment(request.node)
        except (InvalidToken, InvalidSpiffeId) as error:
            raise Denied(str(error)) from error
        requested_key(request.csr_pem)
        await self._tokens.redeem(token, request.node, self._clock())
        certificate = self._sign(
            request.csr_pem, NodeIdentity(self.trust_domain, request.node), request.node, f"token {token.id}"
        )
        return AttestReply(pem(certificate), self._authority.bundle_pem)

    async def renew(self, peer: NodeIdentity, request: RenewRequest) -> CertificateReply:
        """A new certificate of the calling node."""
        if await self._tokens.accounts(peer.node) is None:
            raise Denied(f"node {peer.node} is not enrolled")
        certificate = self._sign(request.csr_pem, peer, peer.node, str(peer))
        return CertificateReply(pem(certificate), self._authority.bundle_pem)

    async def issue(self, peer: NodeIdentity, request: IssueRequest) -> CertificateReply:
        """A certificate with the identity of a workload on the calling node. Another node's workload is refused like
        one that does not exist."""
        name = WorkloadName(request.namespace, request.workload)
        registered = await self._directory.workload(name)
        if registered is None or registered.node != peer.node:
            raise Denied(f"there is no workload {name} on node {peer.node}")
        identity = registered.identity
        if not await self.may_run(peer.node, identity.namespace, identity.service_account):
            self.ledger.refused(peer.node, identity, "the node's join token does not allow it")
            raise Denied(f"node {peer.node} may not run {identity}")
        certificate = self._sign(request.csr_pem, identity, peer.node, str(peer))
        return CertificateReply(pem(certificate), self._authority.bundle_pem)

    def is_enrolled(self, node: str) -> bool:
        """Whether `node` came in with a token and was not removed since; answered without waiting."""
        return self._tokens.is_enrolled(node)

    async def may_run(self, node: str, namespace: str, service_account: str) -> bool:
        """Whether the token with which `node` came in allows it a service account."""
        rules = await self._tokens.accounts(node)
        return rules is not None and any(rule.allows(namespace, service_account) for rule in rules)

    def _sign(self, csr_pem: str, identity: Identity, node: str, caller: str) -> x509.Certificate:
        certificate = sign(csr_pem, identity, self._clock(), self._lifetime, self._authority)
        _log.info(
            "issued %s to %s, serial %x, until %s",
            identity,
            caller,
            certificate.serial_number,
            certificate.not_valid_after_utc.isoformat(),
        )
        self.ledger.issued(Issued(node, identity, certificate.not_valid_before_utc, certificate.not_valid_after_utc))
        return certificate
