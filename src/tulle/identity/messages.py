"""What agents and the control plane say to each other in the gRPC service `tulle.v1.Node`.

The bodies are JSON of these values: no generated code, and a reader of a packet capture in a test can read them.
Names of identities are never taken from a signing request; see `issuer`.
"""

from typing import TypeVar

import msgspec
from msgspec import Struct

from tulle.identity.secret import Secret
from tulle.model.problem import Problem
from tulle.model.workload import Workload

SERVICE = "tulle.v1.Node"

# A token or a signing request is under 2 KiB.
MAX_SMALL_REQUEST = 16 * 1024

Message = TypeVar("Message", bound=Struct)


class AttestRequest(Struct, frozen=True):
    """Enrols a node with a join token. `csr_pem` gives the public key and nothing else."""

    token: Secret
    node: str
    csr_pem: str


class AttestReply(Struct, frozen=True):
    """The node's certificate (leaf first) and the trust domain's roots."""

    chain_pem: str
    bundle_pem: str


class RenewRequest(Struct, frozen=True):
    """Asks for a new certificate of the calling node."""

    csr_pem: str


class IssueRequest(Struct, frozen=True):
    """Asks for a certificate with the identity of a workload on the calling node."""

    namespace: str
    workload: str
    csr_pem: str


class CertificateReply(Struct, frozen=True):
    """A certificate (leaf first) and the trust domain's roots."""

    chain_pem: str
    bundle_pem: str


class ReportRequest(Struct, frozen=True):
    """All workloads of the calling node: what is missing has gone."""

    node: str
    workloads: tuple[Workload, ...]


class ReportReply(Struct, frozen=True):
    """What is wrong with the report; workloads without a problem were taken."""

    problems: tuple[Problem, ...] = ()


def encode(message: Struct) -> bytes:
    return msgspec.json.encode(message, enc_hook=_encode_secret)


def decode(body: bytes, kind: type[Message]) -> Message:
    """The message in `body`. Raises msgspec.ValidationError or DecodeError."""
    try:
        return msgspec.json.decode(body, type=kind, dec_hook=_decode_secret)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def _encode_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal().decode("ascii")
    raise NotImplementedError(f"{type(value)} is no part of a message")


def _decode_secret(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value.encode())
    raise ValueError("a secret is a string")
