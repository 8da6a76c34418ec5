"""What a node's agent has to run, and the names its workloads may look up."""

from tulle.model.app import App, Probe
from tulle.model.dns_server import dns_server
from tulle.model.keys import NameKey, NodeKey
from tulle.model.mesh import MeshDns
from tulle.model.mode import MODE_LABEL, Mode
from tulle.view.authority import service_named
from tulle.view.reader import Reader
from tulle.view.types import (
    AppView,
    DnsView,
    ExecProbeView,
    GrpcProbeView,
    HttpProbeView,
    NameView,
    NodeView,
    ProbeView,
    TcpProbeView,
)


def node(reader: Reader, key: NodeKey) -> NodeView:
    apps = tuple(_app(reader, app) for app in reader.node_apps(key.node))
    mesh = reader.mesh()
    return NodeView(key.node, mesh.trust_domain, apps, _dns(mesh.dns))


def name(reader: Reader, key: NameKey) -> NameView | None:
    service = service_named(reader, key.client_namespace, key.host)
    return NameView(key, service.addresses) if service else None


def _app(reader: Reader, app: App) -> AppView:
    spec = app.spec
    return AppView(
        namespace=app.metadata.namespace,
        name=app.metadata.name,
        service_account=spec.service_account,
        replicas=spec.replicas,
        command=(*spec.command, *spec.args),
        env={e.name: e.value for e in spec.env},
        working_dir=spec.working_dir,
        run_as=spec.run_as,
        ports=tuple((p.name, p.port) for p in spec.ports),
        labels=app.workload_labels,
        mode=_mode(reader, app),
        restart=spec.restart_policy,
        liveness=_probe(app, spec.liveness_probe),
        readiness=_probe(app, spec.readiness_probe),
        startup=_probe(app, spec.startup_probe),
        termination_grace=spec.termination_grace_period_seconds,
    )


def _dns(dns: MeshDns) -> DnsView:
    """What is no address is left out: what was stored may be older than the rule against it."""
    servers = (dns_server(text) for text in dns.upstreams)
    return DnsView(dns.domains, tuple(server for server in servers if server is not None))


def _mode(reader: Reader, app: App) -> Mode:
    """The nearest word counts: the App's label, its namespace's, the mesh's."""
    namespace = reader.namespace(app.metadata.namespace)
    labels = {**(namespace.metadata.labels if namespace else {}), **app.metadata.labels}
    return "node" if labels.get(MODE_LABEL, reader.mesh().mode) == "node" else "sidecar"


def _probe(app: App, probe: Probe | None) -> ProbeView | None:
    if probe is None:
        return None
    return ProbeView(
        check=_check(app, probe),
        initial_delay=probe.initial_delay_seconds,
        period=probe.period_seconds,
        timeout=probe.timeout_seconds,
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
    )


def _check(app: App, probe: Probe) -> HttpProbeView | TcpProbeView | GrpcProbeView | ExecProbeView:
    if probe.http_get:
        return HttpProbeView(_port(app, probe.http_get.port), probe.http_get.path)
    if probe.tcp_socket:
        return TcpProbeView(_port(app, probe.tcp_socket.port))
    if probe.grpc:
        return GrpcProbeView(_port(app, probe.grpc.port), probe.grpc.service)
    return ExecProbeView(probe.exec.command if probe.exec else ())


def _port(app: App, port: int | str) -> int:
    """A name that no port has gives 0, where nothing answers: what was stored may be older than the rule against it."""
    return port if isinstance(port, int) else next((p.port for p in app.spec.ports if p.name == port), 0)
