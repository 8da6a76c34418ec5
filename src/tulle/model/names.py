"""Names of things: identifiers are types, never strings that somebody formats and parses again."""

from msgspec import Struct


class ObjectRef(Struct, frozen=True, gc=False, order=True):
    """What identifies one stored resource. `namespace` is empty for cluster-scoped kinds (Namespace, Mesh)."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"


class ServiceName(Struct, frozen=True, gc=False, order=True):
    """A service: `catalog.shop` as text."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}"


class AppName(Struct, frozen=True, gc=False, order=True):
    """An application that the mesh runs: `web.shop` as text."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}"


class WorkloadName(Struct, frozen=True, gc=False, order=True):
    """One incarnation of an instance; a workload that is made anew gets a new name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}"


class ServicePort(Struct, frozen=True, gc=False, order=True):
    """One port of a service: `catalog.shop:8080` as text. `port` is the service's port, not the target's."""

    service: ServiceName
    port: int

    def __str__(self) -> str:
        return f"{self.service}:{self.port}"


class WorkloadPort(Struct, frozen=True, gc=False, order=True):
    """One port an application listens on inside its workload's namespace."""

    workload: WorkloadName
    port: int

    @property
    def sni(self) -> str:
        """The TLS server name that addresses this port at the workload's mesh address."""
        return f"p{self.port}.{self.workload.name}.{self.workload.namespace}.workload.tulle"


class SpiffeId(Struct, frozen=True, gc=False, order=True):
    """A workload's identity, `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>` as text.

    Source: SPIFFE-ID specification; the path layout is the one Istio made common.
    """

    trust_domain: str
    namespace: str
    service_account: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


class ProxyId(Struct, frozen=True, gc=False, order=True):
    """A managed proxy. `node` is the host it runs on, `workload` the one it serves; without a workload it is the
    node proxy and serves all workloads of the node that are in node mode."""

    node: str
    workload: WorkloadName | None = None

    def __str__(self) -> str:
        """The xDS node id: `sidecar~<node>~<namespace>~<workload>` or `node~<node>`."""
        if self.workload is None:
            return f"node~{self.node}"
        return f"sidecar~{self.node}~{self.workload.namespace}~{self.workload.name}"

    @classmethod
    def parse(cls, text: str) -> "ProxyId | None":
        """The proxy that `text` names, or None where it names none."""
        match text.split("~"):
            case ["node", node] if node:
                return cls(node)
            case ["sidecar", node, namespace, workload] if node and namespace and workload:
                return cls(node, WorkloadName(namespace, workload))
        return None


class AgentId(Struct, frozen=True, gc=False, order=True):
    """A node's agent as a client of xDS for itself: `agent~<node>` as text."""

    node: str

    def __str__(self) -> str:
        return f"agent~{self.node}"

    @classmethod
    def parse(cls, text: str) -> "AgentId | None":
        """The agent that `text` names, or None where it names none."""
        match text.split("~"):
            case ["agent", node] if node:
                return cls(node)
        return None
