"""TCPRoute: where TCP connections go. Source: Gateway API 1.6.

Version v1alpha2 is read as v1: the fields are the same.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from tulle.model.part import Part
from tulle.model.references import BackendRef, ParentReferences
from tulle.model.resource import NamespacedBase
from tulle.model.syntax import DnsSubdomain


class TCPRouteRule(Part, frozen=True):
    backend_refs: Annotated[tuple[BackendRef, ...], Meta(min_length=1, max_length=16)]
    name: DnsSubdomain = ""


class TCPRouteSpec(Part, frozen=True):
    rules: Annotated[tuple[TCPRouteRule, ...], Meta(min_length=1, max_length=1)]
    parent_refs: ParentReferences = ()
    use_default_gateways: Literal["All", "None"] | None = None


class TCPRoute(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "gateway.networking.k8s.io/v1"

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    spec: TCPRouteSpec
