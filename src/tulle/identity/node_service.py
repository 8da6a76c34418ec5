"""The gRPC service `tulle.v1.Node`: Attest for nodes to be, Renew, Issue and Report for nodes.

Two handlers, because they belong on two listeners: who has no certificate yet reaches nothing but Attest.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc
import msgspec

from tulle.identity.errors import Denied, InvalidCertificate, Unavailable
from tulle.identity.issuer import Issuer
from tulle.identity.messages import (
    MAX_SMALL_REQUEST,
    SERVICE,
    AttestRequest,
    IssueRequest,
    RenewRequest,
    ReportReply,
    ReportRequest,
    decode,
    encode,
)
from tulle.identity.peer import node_peer
from tulle.identity.spiffe_id import NodeIdentity

_log = logging.getLogger(__name__)

ENROLMENT_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # Anybody can connect: nobody may send much, or stay for long.
    ("grpc.max_receive_message_length", MAX_SMALL_REQUEST),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    # Two servers on one port would share its connections out at random.
    ("grpc.so_reuseport", 0),
)

Report: TypeAlias = Callable[[NodeIdentity, ReportRequest], Awaitable[ReportReply]]
_Answer: TypeAlias = Callable[[bytes, NodeIdentity], Awaitable[msgspec.Struct]]


def enrolment_handler(issuer: Issuer) -> grpc.GenericRpcHandler:
    """Attest, for the listener without client certificates."""

    async def attest(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return await _guarded(context, lambda: _attest(issuer, body))

    return _handler({"Attest": attest})


def node_handler(issuer: Issuer, report: Report) -> grpc.GenericRpcHandler:
    """Renew, Issue and Report, for the listener with mutual TLS. `report` gets workloads that
    say they are on the calling node; whether it may run them (`Issuer.may_run`), and whether one of that name is
    another node's, is for `report` to ask. It raises Unavailable where the node has to report again."""

    async def renew(body: bytes, peer: NodeIdentity) -> msgspec.Struct:
        return await issuer.renew(peer, decode(_small(body), RenewRequest))

    async def issue(body: bytes, peer: NodeIdentity) -> msgspec.Struct:
        return await issuer.issue(peer, decode(_small(body), IssueRequest))

    async def take_report(body: bytes, peer: NodeIdentity) -> msgspec.Struct:
        request = decode(body, ReportRequest)
        if request.node != peer.node or any(workload.spec.node != peer.node for workload in request.workloads):
            raise Denied(f"node {peer.node} may not report for another")
        return await report(peer, request)

    def for_nodes(answer: _Answer) -> _Method:
        async def method(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await _guarded(context, lambda: answer(body, node_peer(context.auth_context(), issuer.trust_domain)))

        return method

    return _handler({"Renew": for_nodes(renew), "Issue": for_nodes(issue), "Report": for_nodes(take_report)})


_Method: TypeAlias = Callable[[bytes, "grpc.aio.ServicerContext"], Awaitable[bytes]]


def _handler(methods: dict[str, _Method]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    )


async def _attest(issuer: Issuer, body: bytes) -> msgspec.Struct:
    return await issuer.attest(decode(_small(body), AttestRequest))


def _small(body: bytes) -> bytes:
    if len(body) > MAX_SMALL_REQUEST:
        raise Denied("the request is too large")
    return body


async def _guarded(context: grpc.aio.ServicerContext, answer: Callable[[], Awaitable[msgspec.Struct]]) -> bytes:
    """Answers, or ends the call with a status that names the mistake."""
    try:
        return encode(await answer())
    except Denied as error:
        status, message = grpc.StatusCode.PERMISSION_DENIED, str(error)
    except (InvalidCertificate, msgspec.MsgspecError) as error:
        status, message = grpc.StatusCode.INVALID_ARGUMENT, str(error)
    except Unavailable as error:
        _log.warning("a call of %s cannot be answered now: %s", SERVICE, error)
        status, message = grpc.StatusCode.UNAVAILABLE, str(error)
    except Exception:
        # The root of this call. gRPC would tell the caller, who may be anybody, the exception's text.
        _log.exception("a call of %s failed", SERVICE)
        status, message = grpc.StatusCode.INTERNAL, "the control plane failed; its log says why"
    await context.abort(status, message)
    raise AssertionError("abort raises")
