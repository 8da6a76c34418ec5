"""GRPCRoute: where gRPC calls go. Source: Gateway API 1.6, standard and experimental fields."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from tulle.model.http_filters import GRPCRouteFilter
from tulle.model.part import Part
from tulle.model.references import BackendRef, ParentReferences
from tulle.model.resource import NamespacedBase
from tulle.model.session_persistence import SessionPersistence
from tulle.model.syntax import DnsSubdomain, HeaderName, Hostname


class GRPCMethodMatch(Part, frozen=True):
    """`service` with its package, such as `foo.Bar`; `method` without. An empty one means any."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    service: Annotated[str, Meta(max_length=1024)] = ""
    method: Annotated[str, Meta(max_length=1024)] = ""


class GRPCHeaderMatch(Part, frozen=True):
    name: HeaderName
    value: Annotated[str, Meta(min_length=1, max_length=4096)]
    type: Literal["Exact", "RegularExpression"] = "Exact"


class GRPCRouteMatch(Part, frozen=True):
    """All of its conditions together. `method` None: any."""

    method: GRPCMethodMatch | None = None
    headers: Annotated[tuple[GRPCHeaderMatch, ...], Meta(max_length=16)] = ()


class GRPCBackendRef(BackendRef, frozen=True):
    filters: Annotated[tuple[GRPCRouteFilter, ...], Meta(max_length=16)] = ()


class GRPCRouteRule(Part, frozen=True):
    """A call that fits any of `matches` is filtered and forwarded. No matches: every call fits."""

    name: DnsSubdomain = ""
    matches: Annotated[tuple[GRPCRouteMatch, ...], Meta(max_length=64)] = ()
    filters: Annotated[tuple[GRPCRouteFilter, ...], Meta(max_length=16)] = ()
    backend_refs: Annotated[tuple[GRPCBackendRef, ...], Meta(max_length=16)] = ()
    session_persistence: SessionPersistence | None = None


class GRPCRouteSpec(Part, frozen=True):
    parent_refs: ParentReferences = ()
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[GRPCRouteRule, ...], Meta(max_length=16)] = ()
    use_default_gateways: Literal["All", "None"] | None = None


class GRPCRoute(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "gateway.networking.k8s.io/v1"

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    spec: GRPCRouteSpec
