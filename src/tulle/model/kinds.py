"""The registry of kinds: what a kind is called, where it belongs, and the type that holds it.

Names are the ones that kubectl users type: `service`, `services`, `svc`, `Service`.
"""

from typing import TypeAlias

from msgspec import Struct

from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.mesh import Mesh
from tulle.model.namespace import Namespace
from tulle.model.reference_grant import ReferenceGrant
from tulle.model.resource import NamespacedBase
from tulle.model.service import Service
from tulle.model.service_account import ServiceAccount
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload

Resource: TypeAlias = (
    Namespace | ServiceAccount | Service | HTTPRoute | GRPCRoute | TCPRoute | ReferenceGrant | App | Workload | Mesh
)


class Kind(Struct, frozen=True):
    """`api_version` is the one that objects are kept in; those of `also` are read as if they were it."""

    type: type[Resource]
    plural: str
    short: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.type.__name__

    @property
    def api_version(self) -> str:
        return self.type.API_VERSION

    @property
    def namespaced(self) -> bool:
        return issubclass(self.type, NamespacedBase)


KINDS: tuple[Kind, ...] = (
    Kind(Namespace, "namespaces", ("ns",)),
    Kind(ServiceAccount, "serviceaccounts", ("sa",)),
    Kind(Service, "services", ("svc",)),
    Kind(HTTPRoute, "httproutes", also=("gateway.networking.k8s.io/v1beta1",)),
    Kind(GRPCRoute, "grpcroutes"),
    Kind(TCPRoute, "tcproutes", also=("gateway.networking.k8s.io/v1alpha2",)),
    Kind(ReferenceGrant, "referencegrants", ("refgrant",), also=("gateway.networking.k8s.io/v1beta1",)),
    Kind(App, "apps"),
    Kind(Workload, "workloads", ("wl",)),
    Kind(Mesh, "meshes"),
)

_BY_NAME = {kind.name: kind for kind in KINDS}
_BY_TYPED_NAME = {name: kind for kind in KINDS for name in (kind.name.lower(), kind.plural, *kind.short)}


def kind_named(name: str) -> Kind | None:
    """The kind whose name in YAML this is, to the letter."""
    return _BY_NAME.get(name)


def find_kind(text: str) -> Kind | None:
    """The kind that a person means: singular, plural or short name, in any case."""
    return _BY_TYPED_NAME.get(text.lower())
