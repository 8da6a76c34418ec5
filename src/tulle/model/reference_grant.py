"""ReferenceGrant: lets objects of other namespaces refer to objects of this one. Source: Gateway API 1.6.

Version v1beta1 is read as v1: the fields are the same.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from tulle.model.part import Part
from tulle.model.resource import NamespacedBase
from tulle.model.syntax import ApiGroup, DnsLabel, KindName, ObjectName


class ReferenceGrantFrom(Part, frozen=True):
    group: ApiGroup
    kind: KindName
    namespace: DnsLabel


class ReferenceGrantTo(Part, frozen=True):
    """An empty name means all objects of the kind."""

    group: ApiGroup
    kind: KindName
    name: ObjectName = ""


class ReferenceGrantSpec(Part, frozen=True):
    from_: Annotated[tuple[ReferenceGrantFrom, ...], Meta(min_length=1, max_length=16)] = field(name="from")
    to: Annotated[tuple[ReferenceGrantTo, ...], Meta(min_length=1, max_length=16)]


class ReferenceGrant(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "gateway.networking.k8s.io/v1"

    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    spec: ReferenceGrantSpec
