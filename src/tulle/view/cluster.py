"""Upstreams: who may answer for a service, and where traffic that is not the mesh's goes."""

from collections.abc import Iterable

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    LocalClusterKey,
    TcpClusterKey,
    TcpEndpointsKey,
)
from tulle.model.names import ProxyId, ServiceName, SpiffeId
from tulle.model.workload import Workload
from tulle.view.proxy import workloads_of
from tulle.view.reader import Reader
from tulle.view.tcp import tcp_backends
from tulle.view.types import ClusterView, IdentitiesClusterView, LocalClusterView


def identity_of(reader: Reader, workload: Workload) -> SpiffeId:
    return SpiffeId(reader.mesh().trust_domain, workload.metadata.namespace, workload.spec.service_account)


def identities(reader: Reader, services: Iterable[ServiceName]) -> tuple[SpiffeId, ...]:
    """Who may answer for the services: the service accounts of their workloads."""
    return tuple(sorted({identity_of(reader, w) for service in services for w in reader.members(service)}))


def cluster(reader: Reader, key: ClusterKey) -> ClusterView | None:
    service = reader.service(key.port.service)
    port = service.port(key.port.port) if service else None
    if port is None:
        return None
    return ClusterView(key, port.protocol, identities(reader, [key.port.service]), EndpointsKey(key.port))


def tcp_cluster(reader: Reader, key: TcpClusterKey) -> ClusterView | None:
    backends = tcp_backends(reader, key.client_namespace, key.address)
    if backends is None:
        return None
    services = sorted({b.port.service for b in backends if b.port})
    endpoints = TcpEndpointsKey(key.client_namespace, key.address)
    return ClusterView(key, "tcp", identities(reader, services), endpoints)


def local_cluster(reader: Reader, key: LocalClusterKey) -> LocalClusterView | None:
    workload = reader.workload(key.port.workload)
    return LocalClusterView(key, workload.spec.network) if workload else None


def identities_cluster(reader: Reader, key: IdentitiesClusterKey) -> IdentitiesClusterView | None:
    proxy = ProxyId.parse(key.proxy)
    if proxy is None:
        return None
    own = {identity_of(reader, w) for w in workloads_of(reader, proxy)}
    return IdentitiesClusterView(key, tuple(sorted(own)))
