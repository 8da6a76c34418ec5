"""Resolves the references of routes to backends, with the permission that crossing a namespace needs."""

from typing import TypeAlias

from tulle.model.conditions import REASON_BACKEND_NOT_FOUND, REASON_INVALID_KIND, REASON_REF_NOT_PERMITTED
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.names import ServiceName, ServicePort
from tulle.model.references import GATEWAY_GROUP, BackendRef
from tulle.model.snapshot import parent_services
from tulle.model.tcp_route import TCPRoute
from tulle.view.reader import Reader

Route: TypeAlias = HTTPRoute | GRPCRoute | TCPRoute


def refusal(reader: Reader, route: Route, ref: BackendRef) -> str:
    """Why a reference cannot be followed, as Gateway API's reason; empty where it can."""
    if ref.group or ref.kind != "Service":
        return REASON_INVALID_KIND
    name = ServiceName(ref.namespace or route.metadata.namespace, ref.name)
    if not _may_refer(reader, route, name):
        return REASON_REF_NOT_PERMITTED
    service = reader.service(name)
    if service is None or ref.port is None or service.port(ref.port) is None:
        return REASON_BACKEND_NOT_FOUND
    return ""


def target(reader: Reader, route: Route, ref: BackendRef) -> ServicePort | None:
    """The service port a reference means, or None where it cannot be followed."""
    if ref.port is None or refusal(reader, route, ref):
        return None
    return ServicePort(ServiceName(ref.namespace or route.metadata.namespace, ref.name), ref.port)


def _may_refer(reader: Reader, route: Route, name: ServiceName) -> bool:
    """A namespace's own services, what is granted, and the service that the route is about: its clients reach that
    one anyway. Source: Gateway API for mesh (GAMMA), "Namespace boundaries"."""
    return name.namespace == route.metadata.namespace or name in parent_services(route) or _granted(reader, route, name)


def _granted(reader: Reader, route: Route, name: ServiceName) -> bool:
    """Source: Gateway API, ReferenceGrant: it lives in the namespace that is referred to."""
    return any(
        any(
            f.group == GATEWAY_GROUP and f.kind == route.kind and f.namespace == route.metadata.namespace
            for f in grant.spec.from_
        )
        and any(t.group == "" and t.kind == "Service" and t.name in ("", name.name) for t in grant.spec.to)
        for grant in reader.grants(name.namespace)
    )
