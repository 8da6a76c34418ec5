"""Says what is true of a stored object: is it accepted, do its references lead somewhere, did the proxies take it."""

from collections.abc import Sequence

from msgspec.structs import replace

from tulle.api import Status
from tulle.control.compile import Compiler
from tulle.control.refresh import Refresh
from tulle.control.rejections import Rejection, Rejections
from tulle.model.app import App
from tulle.model.conditions import (
    ACCEPTED,
    PROGRAMMED,
    REASON_ACCEPTED,
    REASON_PROGRAMMED,
    REASON_UNSUPPORTED_VALUE,
    Condition,
)
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.keys import Key
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ServiceName
from tulle.model.service import Service
from tulle.model.tcp_route import TCPRoute
from tulle.model.unserved import unserved
from tulle.view import Reader
from tulle.view.route_status import parent_statuses
from tulle.xds.names import key_of

REASON_INVALID = "Invalid"
REASON_REJECTED = "RejectedByProxy"
REASON_NOT_COMPILED = "NotCompiled"
REASON_UNASSIGNED = "NoNode"
REASON_TAKEN = "AddressTaken"


class Statuses:
    """Computed when asked for, from the current snapshot and what proxies refused."""

    def __init__(self, refresh: Refresh, compiler: Compiler, rejections: Rejections) -> None:
        self._refresh = refresh
        self._compiler = compiler
        self._rejections = rejections

    def of(self, ref: ObjectRef) -> Status:
        fault = self._refresh.problems.get(ref)
        if fault is not None:
            message = "; ".join(map(str, fault.problems))
            return Status((Condition(ACCEPTED, "False", REASON_INVALID, message, fault.generation),))
        resource = self._refresh.snapshot.objects.get(ref)
        if resource is None:
            return Status()
        programmed = self._programmed(resource)
        if isinstance(resource, HTTPRoute | GRPCRoute | TCPRoute):
            parents = parent_statuses(Reader(self._refresh.snapshot), resource)
            return Status(parents=tuple(replace(p, conditions=(*p.conditions, programmed)) for p in parents))
        return Status((self._accepted(resource), programmed))

    def _accepted(self, resource: Resource) -> Condition:
        generation = resource.metadata.generation
        problems = unserved(resource)
        if problems:
            return Condition(ACCEPTED, "False", REASON_UNSUPPORTED_VALUE, "; ".join(map(str, problems)), generation)
        if isinstance(resource, App) and not resource.spec.node:
            return Condition(ACCEPTED, "False", REASON_UNASSIGNED, "no node runs it: set spec.node", generation)
        owner = self._owner_of_its_address(resource)
        if owner is not None:
            message = f"spec.clusterIP is the address of {owner}; this service has another: remove the field"
            return Condition(ACCEPTED, "False", REASON_TAKEN, message, generation)
        return Condition(ACCEPTED, "True", REASON_ACCEPTED, "", generation)

    def _owner_of_its_address(self, resource: Resource) -> ServiceName | None:
        """The other service that has the address which a service declares."""
        if not isinstance(resource, Service):
            return None
        owner = self._refresh.snapshot.addresses.get(resource.spec.cluster_ip)
        return owner if owner != ServiceName(resource.metadata.namespace, resource.metadata.name) else None

    def _programmed(self, resource: Resource) -> Condition:
        generation = resource.metadata.generation
        failed = [text for key, text in self._compiler.failures.items() if resource.ref in self._blamed(key)]
        if failed:
            return Condition(PROGRAMMED, "False", REASON_NOT_COMPILED, "; ".join(failed), generation)
        refused = [r for r in self._rejections.all() if resource.ref in self._blamed(key_of(r.type_url, r.name))]
        if refused:
            return Condition(PROGRAMMED, "False", REASON_REJECTED, _words(refused), generation)
        return Condition(PROGRAMMED, "True", REASON_PROGRAMMED, "", generation)

    def _blamed(self, key: Key | None) -> frozenset[ObjectRef]:
        """The routes behind what went wrong; where there is none the services, else all objects behind it."""
        objects = self._compiler.objects_of(key) if key is not None else frozenset()
        routes = frozenset(ref for ref in objects if ref.kind in ("HTTPRoute", "GRPCRoute", "TCPRoute"))
        return routes or frozenset(ref for ref in objects if ref.kind == "Service") or objects


def _words(refused: Sequence[Rejection]) -> str:
    """Each proxy's own words, the same words once."""
    by_message: dict[str, list[str]] = {}
    for rejection in refused:
        by_message.setdefault(rejection.message, []).append(str(rejection.client))
    return "; ".join(f"{', '.join(sorted(who))}: {message}" for message, who in by_message.items())
