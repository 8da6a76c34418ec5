"""The agent's end of enrolment and of the service `tulle.v1.Node`.

A new node knows the control plane only by the pin in its token. The root that the control plane presents is compared
with the pin, and then gRPC is given that root and no other to trust: the token travels only to whom the CA vouches for.
"""

import asyncio
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import grpc
import msgspec
from cryptography import x509
from msgspec import Struct

from tulle.identity.ca import CONTROL_PLANE_DNS_NAME, pem, pin
from tulle.identity.errors import Denied, InvalidCertificate, Unavailable, Untrusted
from tulle.identity.keypair import UNREADABLE, new_key, signing_request
from tulle.identity.messages import (
    SERVICE,
    AttestReply,
    AttestRequest,
    CertificateReply,
    IssueRequest,
    RenewRequest,
    ReportReply,
    ReportRequest,
    decode,
    encode,
)
from tulle.identity.private_file import make_private_directory, read_private, write_private
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.svid import Svid, certified, from_pem, to_pem
from tulle.identity.tokens import JoinToken
from tulle.model.names import WorkloadName

TIMEOUT = timedelta(seconds=10)
_SVID_FILE = "node.pem"
_BUNDLE_FILE = "bundle.pem"
_DER = 2  # _ssl.ENCODING_DER
_OPTIONS = (
    ("grpc.ssl_target_name_override", CONTROL_PLANE_DNS_NAME),
    ("grpc.enable_http_proxy", 0),  # a proxy that the environment names is for applications
)
_REFUSALS = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)

Reply = TypeVar("Reply", bound=Struct)


class NodeCredentials(Struct, frozen=True):
    """What a node proves itself with, and the roots it trusts (PEM)."""

    node: NodeIdentity
    svid: Svid
    bundle_pem: str


async def enrol(
    token: JoinToken, address: str, node: str, timeout: timedelta = TIMEOUT, trust_domain: str = ""
) -> NodeCredentials:
    """Makes this host the node `node`, once for a token. `address` is `host:port` of the enrolment listener,
    `trust_domain` the one that is expected, if any.

    Raises Untrusted, before the token is sent, if the control plane is not the token's, or has another trust domain;
    Denied; Unavailable.
    """
    root = await _pinned_root(address, token.pin, timeout)
    if trust_domain not in ("", _trust_domain(root)):
        raise Untrusted(f"the trust domain is {_trust_domain(root)} there, not {trust_domain}")
    bundle = pem(root)
    key = new_key()
    credentials = grpc.ssl_channel_credentials(root_certificates=bundle.encode())
    async with grpc.aio.secure_channel(address, credentials, options=_OPTIONS) as channel:
        request = AttestRequest(token.text, node, signing_request(key))
        reply = await _call(channel, "Attest", request, AttestReply, timeout)
    identity = NodeIdentity(_trust_domain(root), node)
    return NodeCredentials(identity, certified(key, reply.chain_pem, identity, bundle), reply.bundle_pem)


async def renew(client: "NodeClient", credentials: NodeCredentials) -> NodeCredentials:
    """A new key and certificate for the same node."""
    key = new_key()
    reply = await client.renew(signing_request(key))
    svid = certified(key, reply.chain_pem, credentials.node, reply.bundle_pem)
    return NodeCredentials(credentials.node, svid, reply.bundle_pem)


def save(credentials: NodeCredentials, directory: Path) -> None:
    """Keeps the credentials in two files (0600) in `directory` (0700)."""
    make_private_directory(directory)
    write_private(directory / _BUNDLE_FILE, credentials.bundle_pem.encode())
    write_private(directory / _SVID_FILE, to_pem(credentials.svid))


def load(directory: Path, node: NodeIdentity) -> NodeCredentials | None:
    """What `save` kept, or None. Raises UnsafeFile if others can read it, InvalidCertificate if it is damaged or
    another node's."""
    try:
        bundle = read_private(directory / _BUNDLE_FILE).decode("ascii", "replace")
        svid = from_pem(read_private(directory / _SVID_FILE), node, bundle)
    except FileNotFoundError:
        return None
    return NodeCredentials(node, svid, bundle)


def mtls_channel(
    credentials: NodeCredentials, address: str, options: Sequence[tuple[str, str | int]] = ()
) -> grpc.aio.Channel:
    """A channel to the control plane's mutual-TLS listener. It keeps its certificate for new connections too: after a
    renewal make another channel."""
    ssl_credentials = grpc.ssl_channel_credentials(
        root_certificates=credentials.bundle_pem.encode(),
        private_key=credentials.svid.key.reveal(),
        certificate_chain=credentials.svid.chain_pem.encode(),
    )
    return grpc.aio.secure_channel(address, ssl_credentials, options=(*_OPTIONS, *options))


class NodeClient:
    """Calls of an enrolled node. All raise Denied and Unavailable."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta = TIMEOUT) -> None:
        self._channel = channel
        self._timeout = timeout

    async def issue(self, workload: WorkloadName, csr_pem: str) -> CertificateReply:
        """A certificate with the identity of a workload on this node."""
        request = IssueRequest(workload.namespace, workload.name, csr_pem)
        return await _call(self._channel, "Issue", request, CertificateReply, self._timeout)

    async def renew(self, csr_pem: str) -> CertificateReply:
        """A certificate of this node."""
        return await _call(self._channel, "Renew", RenewRequest(csr_pem), CertificateReply, self._timeout)

    async def report(self, request: ReportRequest) -> ReportReply:
        return await _call(self._channel, "Report", request, ReportReply, self._timeout)


async def _call(
    channel: grpc.aio.Channel, method: str, request: Struct, kind: type[Reply], timeout: timedelta
) -> Reply:
    call = channel.unary_unary(f"/{SERVICE}/{method}")
    try:
        return decode(await call(encode(request), timeout=timeout.total_seconds()), kind)
    except grpc.aio.AioRpcError as error:
        refused = error.code() in _REFUSALS
        message = f"{method}: {error.details()}"
        raise (Denied(message) if refused else Unavailable(message)) from error
    except asyncio.CancelledError as error:
        # Also what grpc.aio raises where the channel is closed meanwhile, or the server answers CANCELLED.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"{method}: the call was cancelled") from error
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{method}: the control plane's answer makes no sense: {error}") from error


async def _pinned_root(address: str, expected: str, timeout: timedelta) -> x509.Certificate:
    """The CA certificate with the pin `expected`, from what the server at `address` presents. That it stands there
    proves nothing yet, a stranger can present it too: the caller trusts it for the next connection, where the server
    needs a certificate that this CA has signed."""
    for der in await _presented_chain(address, timeout):
        with suppress(*UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension):
            certificate = x509.load_der_x509_certificate(der)
            is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            if is_ca and pin(certificate) == expected:
                return certificate
    raise Untrusted(f"the control plane at {address} is not the one that made this join token; the token was not sent")


async def _presented_chain(address: str, timeout: timedelta) -> list[bytes]:
    """The certificates (DER) that a server presents, without trust in any of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])  # gRPC closes a connection without it
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=CONTROL_PLANE_DNS_NAME
            )
    except (OSError, ValueError, TimeoutError) as error:
        raise Unavailable(f"no connection to the control plane at {address}: {error}") from error
    try:
        return _unverified_chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


def _unverified_chain(connection: ssl.SSLObject) -> list[bytes]:
    if sys.version_info >= (3, 13):
        return connection.get_unverified_chain()
    # The same method, before it had a public name.
    return [certificate.public_bytes(_DER) for certificate in connection._sslobj.get_unverified_chain()]  # type: ignore[attr-defined]


def _trust_domain(root: x509.Certificate) -> str:
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise InvalidCertificate("the CA's certificate names no trust domain") from error
    return uri.removeprefix("spiffe://")
