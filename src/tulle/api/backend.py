"""What the API needs from the control plane that it is a face of.

The API knows HTTP and JSON; what is true of the mesh it asks here. Everything that is not a stored object is answered
from memory, so these calls cost nothing to speak of.
"""

from datetime import timedelta
from typing import Protocol

from msgspec import Raw, Struct

from tulle.model.conditions import Condition, RouteParentStatus
from tulle.model.names import ObjectRef, ProxyId
from tulle.model.problem import Problem
from tulle.store.protocol import Store


class Status(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is true of an object: of routes per parent, of everything else in `conditions`."""

    conditions: tuple[Condition, ...] = ()
    parents: tuple[RouteParentStatus, ...] = ()


class TypeSync(Struct, frozen=True, rename="camel"):
    """How far a proxy is with one xDS type. `resources` it was sent, `in_sync`: it accepted all of them.
    `last_nack` is why it last refused some, empty when it accepted what it was sent since."""

    type_url: str
    resources: int
    in_sync: bool
    last_nack: str = ""


class ProxyState(Struct, frozen=True, rename="camel"):
    """A proxy. `workload` is `<namespace>/<name>`, empty for a node proxy."""

    id: str
    node: str
    workload: str
    connected: bool
    in_sync: bool
    types: tuple[TypeSync, ...] = ()


class XdsResource(Struct, frozen=True, rename="camel"):
    """One resource as a proxy has it. `body` is the protobuf message as JSON, without secrets."""

    type_url: str
    name: str
    version: str
    body: Raw


class CertificateProblem(Struct, frozen=True):
    """What is wrong with the certificate of an identity (a SPIFFE ID) on a node."""

    identity: str
    message: str


class AuthorityState(Struct, frozen=True, rename="camel"):
    """The certificate authority. `expires` is RFC 3339, `life_used` percent; `problem` is for people, empty where all
    is well."""

    trust_domain: str
    expires: str
    life_used: int
    problem: str = ""


class NodeState(Struct, frozen=True, rename="camel"):
    """A node that has joined, or that workloads name. `service_accounts` (`<namespace>/<name>`, `*` for any) are those
    that it may run; `certificate_expires` is RFC 3339, empty where it is not known, and `certificate_life_used`
    percent. `certificate_problems` are of its own certificate and of those of its workloads."""

    name: str
    connected: bool
    workloads: int
    proxies: int
    certificate_expires: str = ""
    service_accounts: tuple[str, ...] = ()
    certificate_life_used: int | None = None
    certificate_problems: tuple[CertificateProblem, ...] = ()


class RemovedNode(Struct, frozen=True, rename="camel"):
    """What became of a node that was removed: `workloads` were taken out of the mesh, `streams` of its agent and
    proxies were ended. `apps` (`<namespace>/<name>`) name the node still, and run nowhere."""

    name: str
    workloads: int
    streams: int
    apps: tuple[str, ...] = ()


class StatusWatch(Protocol):
    """What one watch has shown of objects' statuses, and which of them may be others by now."""

    def of(self, ref: ObjectRef) -> Status:
        """As `Backend.status`; from now on `changed` tells when it may be another."""
        ...

    async def changed(self) -> frozenset[ObjectRef]:
        """Waits until statuses that were asked for may have changed. All of a burst come together."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    @property
    def store(self) -> Store:
        """Where declared objects are; the API checks them before it writes."""
        ...

    def status(self, ref: ObjectRef) -> Status:
        """What is true of a stored object; nothing where that is not known yet."""
        ...

    def watch_statuses(self) -> StatusWatch:
        """To be closed when it is no longer needed."""
        ...

    def proxies(self) -> tuple[ProxyState, ...]: ...

    def xds(self, proxy: ProxyId) -> tuple[XdsResource, ...] | None:
        """What a proxy is subscribed to, or None for one that is not known."""
        ...

    def nodes(self) -> tuple[NodeState, ...]: ...

    def authority(self) -> AuthorityState: ...

    async def remove_node(self, name: str) -> RemovedNode | None:
        """Takes a node out: no certificate and no stream for it any more, its workloads are gone. None where there is
        no such node."""
        ...

    async def create_token(self, node: str, service_accounts: tuple[str, ...], ttl: timedelta) -> str:
        """A join token that works once, for `node` and workloads of these accounts (`<namespace>/<name>`)."""
        ...

    def not_ready(self) -> tuple[Problem, ...]:
        """Why the control plane cannot serve yet; nothing when it can."""
        ...

    def version(self) -> str: ...
