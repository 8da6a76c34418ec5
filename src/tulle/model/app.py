"""App: how to run an application. Field names are those of Kubernetes' containers and Deployments."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from tulle.model.part import Part
from tulle.model.resource import NamespacedBase
from tulle.model.syntax import (
    Count,
    CountOrZero,
    DnsSubdomain,
    EnvName,
    LabelKey,
    LabelValue,
    PortName,
    PortNumber,
    UserName,
)

APP_LABEL = "app"


class EnvVar(Part, frozen=True):
    name: EnvName
    value: str = ""


class AppPort(Part, frozen=True):
    """A port that the application listens on. Services and probes may refer to it by name."""

    port: PortNumber
    name: PortName = ""
    protocol: Literal["TCP", "UDP"] = "TCP"


class HTTPGetAction(Part, frozen=True):
    port: PortNumber | PortName
    path: Annotated[str, Meta(max_length=4096)] = "/"


class TCPSocketAction(Part, frozen=True):
    port: PortNumber | PortName


class GRPCAction(Part, frozen=True):
    """`service` is what the gRPC health protocol is asked for."""

    port: PortNumber | PortName
    service: str = ""


class ExecAction(Part, frozen=True):
    command: Annotated[tuple[str, ...], Meta(min_length=1)]


class Probe(Part, frozen=True):
    """Exactly one of the four checks. Times in seconds."""

    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    exec: ExecAction | None = None
    initial_delay_seconds: CountOrZero = 0
    period_seconds: Count = 10
    timeout_seconds: Count = 1
    success_threshold: Count = 1
    failure_threshold: Count = 3


class ResourceAmounts(Part, frozen=True):
    """Kubernetes quantities: `cpu: 500m`, `memory: 128Mi`."""

    cpu: str | int | float = ""
    memory: str | int | float = ""


class ResourceRequirements(Part, frozen=True):
    requests: ResourceAmounts = ResourceAmounts()
    limits: ResourceAmounts = ResourceAmounts()


class AppSpec(Part, frozen=True):
    """`labels` are the workloads'. An empty `run_as` is the agent's choice, an empty `node` any node."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""
    replicas: CountOrZero = 1
    ports: tuple[AppPort, ...] = ()
    service_account: DnsSubdomain = "default"
    labels: Mapping[LabelKey, LabelValue] = {}
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: CountOrZero = 10
    run_as: UserName = ""
    node: DnsSubdomain = ""


class App(NamespacedBase, frozen=True, kw_only=True):
    API_VERSION: ClassVar[str] = "tulle.dev/v1alpha1"

    api_version: Literal["tulle.dev/v1alpha1"] = "tulle.dev/v1alpha1"
    spec: AppSpec

    @property
    def workload_labels(self) -> Mapping[str, str]:
        """The labels of the app's workloads: those of the spec, and `app` unless they say otherwise."""
        return {APP_LABEL: self.metadata.name, **self.spec.labels}
