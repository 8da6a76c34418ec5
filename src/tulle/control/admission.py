"""Completes objects as they are stored: the addresses of services, the node of applications.

An address that is only computed could change with the set of services, and a client that remembers it would reach
another service. So it becomes part of the object, as in Kubernetes.
"""

from collections.abc import AsyncIterator, Callable, Sequence

from msgspec.structs import replace

from tulle.model import vips
from tulle.model.app import App
from tulle.model.kinds import Resource
from tulle.model.names import ObjectRef, ServiceName
from tulle.model.parse import decode_json, encode_json
from tulle.model.service import Service
from tulle.model.snapshot import Snapshot, carries_any_http
from tulle.store.protocol import Delete, Event, Listing, Put, Store, Stored


class AdmittingStore:
    """A store that completes objects before it writes them; everything else passes through. Apps that name no node get
    `default_node`."""

    def __init__(self, store: Store, snapshot: Callable[[], Snapshot], default_node: str = "") -> None:
        self._store = store
        self._snapshot = snapshot
        self._default_node = default_node

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
        resources = [_resource(change) for change in changes]
        taken = {r.spec.cluster_ip for r in resources if isinstance(r, Service)}
        return tuple(
            self._complete(change, resource, taken) for change, resource in zip(changes, resources, strict=True)
        )

    def _complete(self, change: Put | Delete, resource: Resource | None, taken: set[str]) -> Put | Delete:
        match resource:
            case Service() if not resource.spec.cluster_ip:
                address = self._address(resource, taken)
                taken.add(address)
                resource = replace(resource, spec=replace(resource.spec, cluster_ip=address))
            case App() if not resource.spec.node and self._default_node:
                resource = replace(resource, spec=replace(resource.spec, node=self._default_node))
            case _:
                return change
        return Put(change.ref, encode_json(resource), change.expected)

    def _address(self, service: Service, taken: set[str]) -> str:
        """The address that the service has already, else a free one."""
        snapshot = self._snapshot()
        name = ServiceName(service.metadata.namespace, service.metadata.name)
        known = snapshot.services.get(name)
        if known is not None:
            return known.addresses[0]
        return vips.allocate(name, carries_any_http(service), lambda a: a in taken or a in snapshot.addresses)


def _resource(change: Put | Delete) -> Resource | None:
    """The object of a kind that is completed here."""
    if not isinstance(change, Put) or change.ref.kind not in ("Service", "App"):
        return None
    return decode_json(change.body)
