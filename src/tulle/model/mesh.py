"""Mesh: the one mesh-wide object, named `default`."""

from typing import ClassVar, Literal

from tulle.model.mode import Mode
from tulle.model.part import Part
from tulle.model.resource import ResourceBase
from tulle.model.syntax import DnsSubdomain, TrustDomain

MESH_NAME = "default"


class OutboundTrafficPolicy(Part, frozen=True):
    """What happens to traffic for addresses that the mesh does not know: passed on, or refused."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class MeshDns(Part, frozen=True):
    """`domains`: suffixes of the services' names (`catalog.shop.svc.<domain>`). `upstreams`: addresses, with an
    optional port, of the servers that answer all other names; none means those of the host."""

    domains: tuple[DnsSubdomain, ...] = ("cluster.local",)
    upstreams: tuple[str, ...] = ()


class MeshSpec(Part, frozen=True):
    trust_domain: TrustDomain = "tulle.local"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    dns: MeshDns = MeshDns()
    mode: Mode = "sidecar"


class Mesh(ResourceBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "tulle.dev/v1alpha1"

    api_version: Literal["tulle.dev/v1alpha1"] = "tulle.dev/v1alpha1"
    spec: MeshSpec = MeshSpec()
