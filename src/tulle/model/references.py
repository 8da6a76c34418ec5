"""References from routes to other objects. Source: Gateway API 1.6."""

from typing import Annotated

from msgspec import Meta

from tulle.model.part import Part
from tulle.model.syntax import ApiGroup, DnsLabel, DnsSubdomain, KindName, ObjectName, PortNumber, Weight

GATEWAY_GROUP = "gateway.networking.k8s.io"


class ParentReference(Part, frozen=True):
    """What a route attaches to: a Service in the mesh, or a Gateway. An empty namespace is the route's own."""

    name: ObjectName
    group: ApiGroup = GATEWAY_GROUP
    kind: KindName = "Gateway"
    namespace: DnsLabel = ""
    section_name: DnsSubdomain = ""
    port: PortNumber | None = None


class LocalObjectReference(Part, frozen=True):
    """An object in the namespace of what refers to it."""

    group: ApiGroup
    kind: KindName
    name: ObjectName


class BackendObjectReference(Part, frozen=True):
    """A backend without a share. An empty namespace is the route's own."""

    name: ObjectName
    group: ApiGroup = ""
    kind: KindName = "Service"
    namespace: DnsLabel = ""
    port: PortNumber | None = None


class BackendRef(BackendObjectReference, frozen=True):
    """A backend with its share of the traffic."""

    weight: Weight = 1


ParentReferences = Annotated[tuple[ParentReference, ...], Meta(max_length=32)]
