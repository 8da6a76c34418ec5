"""Says what is true of a stored object: is it accepted, do its references lead somewhere, did the proxies take it."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tulle.api import Status
from tulle.control.compile import Compiler
from tulle.control.refresh import FAULTS, Refresh
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
from tulle.model.names import ObjectRef, ServiceName, WorkloadName
from tulle.model.service import SERVICE_ACCOUNTS, Service
from tulle.model.snapshot import Fact
from tulle.model.tcp_route import TCPRoute
from tulle.model.unserved import unserved
from tulle.model.workload import Workload
from tulle.view import Reader
from tulle.view.route_status import parent_statuses
from tulle.xds.names import key_of

REASON_INVALID = "Invalid"
REASON_REJECTED = "RejectedByProxy"
REASON_NOT_COMPILED = "NotCompiled"
REASON_UNASSIGNED = "NoNode"
REASON_TAKEN = "AddressTaken"
REASON_STRANGE_ACCOUNT = "ServiceAccountNotExpected"


class Blame(Struct, frozen=True):
    """Why what was made from an object is not with the proxies."""

    reason: str
    message: str


class Answer(Struct, frozen=True):
    """What is true of an object apart from what proxies say, and the facts that this rests on. `generation`: that of
    the object, None where there is nothing that proxies could have."""

    status: Status
    facts: frozenset[Fact]
    generation: int | None = None


class Statuses:
    """Computed when asked for, from the current snapshot and what proxies refused."""

    def __init__(self, refresh: Refresh, compiler: Compiler, rejections: Rejections) -> None:
        self._refresh = refresh
        self._compiler = compiler
        self._rejections = rejections
        self._blame: Mapping[ObjectRef, Blame] | None = None
        self._listeners: list[Callable[[], None]] = []
        compiler.listen(self._blame_differs)
        rejections.listen(self._blame_differs)

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls `listener` when what `blame` gave last may be no longer true."""
        self._listeners.append(listener)

    def of(self, ref: ObjectRef) -> Status:
        return complete(self.answer(ref), self.blame().get(ref))

    def answer(self, ref: ObjectRef) -> Answer:
        reader = Reader(self._refresh.snapshot)
        resource = self._refresh.snapshot.objects.get(ref)
        fault = self._refresh.problems.get(ref)
        status, generation = Status(), None
        if fault is not None:
            message = "; ".join(map(str, fault.problems))
            status = Status((Condition(ACCEPTED, "False", REASON_INVALID, message, fault.generation),))
        elif isinstance(resource, HTTPRoute | GRPCRoute | TCPRoute):
            status, generation = Status(parents=parent_statuses(reader, resource)), resource.metadata.generation
        elif resource is not None:
            status, generation = Status((self._accepted(reader, resource),)), resource.metadata.generation
        return Answer(status, frozenset({*reader.facts, Fact("objects", ref), Fact(FAULTS, ref)}), generation)

    def blame(self) -> Mapping[ObjectRef, Blame]:
        """All objects of which something could not be compiled, or was refused by a proxy."""
        if self._blame is None:
            self._blame = self._find_blame()
        return self._blame

    def _blame_differs(self) -> None:
        """Called often: what it means is found out when somebody asks."""
        if self._blame is not None:
            self._blame = None
            for listener in self._listeners:
                listener()

    def _find_blame(self) -> Mapping[ObjectRef, Blame]:
        failed: defaultdict[ObjectRef, list[str]] = defaultdict(list)
        for key, text in self._compiler.failures.items():
            for ref in self._blamed(key):
                failed[ref].append(text)
        refused: defaultdict[ObjectRef, list[Rejection]] = defaultdict(list)
        for rejection in self._rejections.all():
            for ref in self._blamed(key_of(rejection.type_url, rejection.name)):
                refused[ref].append(rejection)
        return {
            **{ref: Blame(REASON_REJECTED, _words(found)) for ref, found in refused.items()},
            **{ref: Blame(REASON_NOT_COMPILED, "; ".join(texts)) for ref, texts in failed.items()},
        }

    def _accepted(self, reader: Reader, resource: Resource) -> Condition:
        generation = resource.metadata.generation
        problems = unserved(resource)
        if problems:
            return Condition(ACCEPTED, "False", REASON_UNSUPPORTED_VALUE, "; ".join(map(str, problems)), generation)
        if isinstance(resource, App) and not resource.spec.node:
            return Condition(ACCEPTED, "False", REASON_UNASSIGNED, "no node runs it: set spec.node", generation)
        if isinstance(resource, Workload):
            return _taken_in(reader, resource)
        owner = _owner_of_its_address(reader, resource)
        if owner is not None:
            message = f"spec.clusterIP is the address of {owner}; this service has another: remove the field"
            return Condition(ACCEPTED, "False", REASON_TAKEN, message, generation)
        return Condition(ACCEPTED, "True", REASON_ACCEPTED, "", generation)

    def _blamed(self, key: Key | None) -> frozenset[ObjectRef]:
        """The routes behind what went wrong; where there is none the services, else all objects behind it."""
        objects = self._compiler.objects_of(key) if key is not None else frozenset()
        routes = frozenset(ref for ref in objects if ref.kind in ("HTTPRoute", "GRPCRoute", "TCPRoute"))
        return routes or frozenset(ref for ref in objects if ref.kind == "Service") or objects


def complete(answer: Answer, blame: Blame | None) -> Status:
    """With what proxies say."""
    if answer.generation is None:
        return answer.status
    programmed = Condition(PROGRAMMED, "True", REASON_PROGRAMMED, "", answer.generation)
    if blame is not None:
        programmed = Condition(PROGRAMMED, "False", blame.reason, blame.message, answer.generation)
    if answer.status.parents:
        return Status(parents=tuple(replace(p, conditions=(*p.conditions, programmed)) for p in answer.status.parents))
    return Status((*answer.status.conditions, programmed))


def _taken_in(reader: Reader, workload: Workload) -> Condition:
    """Whether all services take a workload that select it."""
    metadata, account = workload.metadata, workload.spec.service_account
    refusing = reader.refused_by(WorkloadName(metadata.namespace, metadata.name))
    if not refusing:
        return Condition(ACCEPTED, "True", REASON_ACCEPTED, "", metadata.generation)
    message = (
        f"not behind {', '.join(map(str, refusing))}, where service account {account} is not expected: "
        f"name it in the service's annotation {SERVICE_ACCOUNTS}, or change the workload's labels"
    )
    return Condition(ACCEPTED, "False", REASON_STRANGE_ACCOUNT, message, metadata.generation)


def _owner_of_its_address(reader: Reader, resource: Resource) -> ServiceName | None:
    """The other service that has the address which a service declares."""
    owner = reader.service_at(resource.spec.cluster_ip) if isinstance(resource, Service) else None
    if owner is None or owner.name == ServiceName(resource.metadata.namespace, resource.metadata.name):
        return None
    return owner.name


def _words(refused: Sequence[Rejection]) -> str:
    """Each proxy's own words, the same words once."""
    by_message: dict[str, list[str]] = {}
    for rejection in refused:
        by_message.setdefault(rejection.message, []).append(str(rejection.client))
    return "; ".join(f"{', '.join(sorted(who))}: {message}" for message, who in by_message.items())
