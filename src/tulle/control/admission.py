"""Gives services their addresses as they are stored.

An address that is only computed could change with the set of services, and a client that remembers it would reach
another service. So it becomes part of the object, as in Kubernetes.
"""

from collections.abc import AsyncIterator, Callable, Sequence

from msgspec.structs import replace

from tulle.model import vips
from tulle.model.names import ObjectRef, ServiceName
from tulle.model.parse import decode_json, encode_json
from tulle.model.service import Service
from tulle.model.snapshot import Snapshot, carries_any_http
from tulle.store.protocol import Delete, Event, Listing, Put, Store, Stored


class AdmittingStore:
    """A store that completes services before it writes them; everything else passes through."""

    def __init__(self, store: Store, snapshot: Callable[[], Snapshot]) -> None:
        self._store = store
        self._snapshot = snapshot

    async def get(self, ref: ObjectRef) -> Stored | None:
        return await self._store.get(ref)

    async def list(self, kind: str = "", namespace: str = "") -> Listing:
        return await self._store.list(kind, namespace)

    async def write(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        return await self._store.write(self._completed(changes))

    async def rehearse(self, changes: Sequence[Put | Delete]) -> tuple[Event, ...]:
        return await self._store.rehearse(self._completed(changes))

    def watch(self, since: int) -> AsyncIterator[tuple[Event, ...]]:
        return self._store.watch(since)

    async def history(self, ref: ObjectRef, limit: int = 20) -> tuple[Event, ...]:
        return await self._store.history(ref, limit)

    async def close(self) -> None:
        await self._store.close()

    def _completed(self, changes: Sequence[Put | Delete]) -> tuple[Put | Delete, ...]:
        services = {change.ref: service for change in changes if (service := _service(change))}
        taken = {service.spec.cluster_ip for service in services.values()}
        completed: list[Put | Delete] = []
        for change in changes:
            service = services.get(change.ref)
            if isinstance(change, Put) and service and not service.spec.cluster_ip:
                address = self._address(service, taken)
                taken.add(address)
                addressed = replace(service, spec=replace(service.spec, cluster_ip=address))
                change = replace(change, body=encode_json(addressed))
            completed.append(change)
        return tuple(completed)

    def _address(self, service: Service, taken: set[str]) -> str:
        """The address that the service has already, else a free one."""
        snapshot = self._snapshot()
        name = ServiceName(service.metadata.namespace, service.metadata.name)
        known = snapshot.services.get(name)
        if known is not None:
            return known.addresses[0]
        return vips.allocate(name, carries_any_http(service), lambda a: a in taken or a in snapshot.addresses)


def _service(change: Put | Delete) -> Service | None:
    if not isinstance(change, Put) or change.ref.kind != "Service":
        return None
    resource = decode_json(change.body)
    return resource if isinstance(resource, Service) else None
