"""Service: a named set of workloads with ports. Source: Kubernetes core v1, the fields that users write."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from tulle.model.part import Part
from tulle.model.resource import NamespacedBase
from tulle.model.syntax import (
    AppProtocol,
    Count,
    CountOrZero,
    DnsSubdomain,
    IpAddress,
    LabelKey,
    LabelValue,
    PortName,
    PortNumber,
)

SERVICE_ACCOUNTS = "tulle.dev/service-accounts"
"""An annotation of a Service: the service accounts that its workloads may have, separated by commas."""

ClusterIp = Annotated[
    str, Meta(max_length=45, pattern=r"^(?:None|[0-9a-fA-F:.]*)$(?!\n)", description='an IP address, "None" or ""')
]


class ServicePortSpec(Part, frozen=True):
    """`target_port` is a number, or the name of a port of the workloads; None means `port`."""

    port: PortNumber
    name: PortName = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    target_port: PortNumber | PortName | None = None
    app_protocol: AppProtocol = ""
    node_port: PortNumber | None = None

    @property
    def target(self) -> int | str:
        """The workloads' port: what `target_port` says, else the service's own."""
        return self.port if self.target_port is None else self.target_port


class ClientIpConfig(Part, frozen=True):
    timeout_seconds: Count = 10800


class SessionAffinityConfig(Part, frozen=True):
    client_ip: ClientIpConfig | None = field(name="clientIP", default=None)


class ServiceSpec(Part, frozen=True):
    selector: Mapping[LabelKey, LabelValue] = {}
    ports: tuple[ServicePortSpec, ...] = ()
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: ClusterIp = field(name="clusterIP", default="")
    cluster_ips: tuple[ClusterIp, ...] = field(name="clusterIPs", default=())
    ip_families: tuple[Literal["IPv4", "IPv6"], ...] = ()
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    external_name: DnsSubdomain = ""
    external_ips: tuple[IpAddress, ...] = field(name="externalIPs", default=())
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    internal_traffic_policy: Literal["Cluster", "Local"] | None = None
    load_balancer_ip: str = field(name="loadBalancerIP", default="")
    load_balancer_class: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    allocate_load_balancer_node_ports: bool | None = None
    health_check_node_port: CountOrZero | None = None
    publish_not_ready_addresses: bool = False
    session_affinity: Literal["None", "ClientIP"] = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str = ""


class Service(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "v1"

    api_version: Literal["v1"] = "v1"
    spec: ServiceSpec = ServiceSpec()

    @property
    def service_accounts(self) -> tuple[str, ...]:
        """What the annotation says; nothing where there is none."""
        names = (name.strip() for name in self.metadata.annotations.get(SERVICE_ACCOUNTS, "").split(","))
        return tuple(name for name in names if name)
