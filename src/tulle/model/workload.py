"""Workload: one running instance. Agents report theirs; a host without an agent is declared by hand."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta

from tulle.model.mode import Mode
from tulle.model.part import Part
from tulle.model.resource import NamespacedBase
from tulle.model.syntax import DnsSubdomain, IpAddress, PortName, PortNumber, Weight

LONGEST_MESSAGE = 1000

WorkloadState: TypeAlias = Literal["Starting", "Ready", "NotReady", "Draining"]


class WorkloadPortSpec(Part, frozen=True):
    port: PortNumber
    name: PortName = ""


class WorkloadSpec(Part, frozen=True):
    """`address` and `mesh_port` are where its mutual-TLS traffic is accepted, `network` is the path of its network
    namespace, `host_gateway` that of the socket through which it leaves the mesh where its proxy has no network of the
    host, `app` the App that it is an instance of. `message` says why it is not ready, where its agent knows. Without a
    `node` no agent has it."""

    address: IpAddress
    mesh_port: PortNumber
    node: DnsSubdomain = ""
    network: str = ""
    host_gateway: str = ""
    service_account: DnsSubdomain = "default"
    mode: Mode = "sidecar"
    ports: tuple[WorkloadPortSpec, ...] = ()
    app: DnsSubdomain = ""
    weight: Weight = 1
    state: WorkloadState = "Ready"
    message: Annotated[str, Meta(max_length=LONGEST_MESSAGE)] = ""


class Workload(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "tulle.dev/v1alpha1"

    api_version: Literal["tulle.dev/v1alpha1"] = "tulle.dev/v1alpha1"
    spec: WorkloadSpec
