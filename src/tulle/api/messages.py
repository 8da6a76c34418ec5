"""Messages: what goes over the API apart from the objects themselves.

Apart from the handlers, so that commands can read and write them without waiting for a web framework.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tulle.api.backend import NodeState, ProxyState, XdsResource
from tulle.model.problem import Problem
from tulle.model.syntax import DnsSubdomain

Outcome: TypeAlias = Literal["created", "configured", "unchanged"]
AccountRule: TypeAlias = Annotated[
    str,
    Meta(
        max_length=317,
        pattern=r"^[a-z0-9]+(?:-+[a-z0-9]+)*/(?:\*|[a-z0-9]+(?:[-.]+[a-z0-9]+)*)$(?!\n)",
        description="<namespace>/<service account>, or <namespace>/* for all of a namespace",
    ),
]


class ProblemDocument(Struct, frozen=True, rename="camel"):
    """RFC 9457. `reason` is one word for programs; `problems` are the mistakes in what was sent; the revisions are
    those of a conflict."""

    title: str
    status: int
    detail: str
    reason: str
    type: str = "about:blank"
    problems: tuple[Problem, ...] | UnsetType = UNSET
    resource: str | UnsetType = UNSET
    expected_revision: int | UnsetType = UNSET
    actual_revision: int | UnsetType = UNSET


class ListMetadata(Struct, frozen=True, rename="camel"):
    resource_version: str


class ResourceList(Struct, frozen=True, rename="camel"):
    """As Kubernetes' List. `metadata.resourceVersion` is where a watch goes on from."""

    metadata: ListMetadata
    items: tuple[Raw, ...]
    api_version: str = "v1"
    kind: str = "List"


class Deleted(Struct, frozen=True, rename="camel"):
    resource: str
    resource_version: str


class ApplyRequest(Struct, frozen=True):
    """Also a List as Kubernetes has it: what else it holds does not matter."""

    items: tuple[Raw, ...]


class AppliedObject(Struct, frozen=True, rename="camel"):
    """`resource_version` is empty for what a dry run would have written."""

    api_version: str
    kind: str
    namespace: str
    name: str
    outcome: Outcome
    resource_version: str


class Applied(Struct, frozen=True, rename="camel"):
    """What became of the objects, in the order in which they were sent."""

    items: tuple[AppliedObject, ...]
    dry_run: bool


class Bookmark(Struct, frozen=True, rename="camel"):
    """A watch has come to this revision."""

    resource_version: str


class ProxyList(Struct, frozen=True):
    items: tuple[ProxyState, ...]


class XdsDump(Struct, frozen=True):
    proxy: str
    resources: tuple[XdsResource, ...]


class NodeList(Struct, frozen=True):
    items: tuple[NodeState, ...]


class TokenRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`service_accounts` are those that workloads of the node may run as, `ttl` is how long the token can be used."""

    node: DnsSubdomain
    service_accounts: tuple[AccountRule, ...] = ()
    ttl: str = "1h"


class Token(Struct, frozen=True):
    """`token` is shown this once and works once."""

    token: str

    def __repr__(self) -> str:
        return "Token(redacted)"


class Health(Struct, frozen=True):
    status: str


class Version(Struct, frozen=True):
    version: str
