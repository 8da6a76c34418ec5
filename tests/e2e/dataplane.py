"""A small mesh around one real Envoy: namespaces, applications, certificates and an xDS server, without control plane
or agent. What a test declares is views; what Envoy gets is their translation.
"""

import contextlib
import http.client
import http.server
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from tulle.agent.capture.namespace import Namespaces, bind_tcp, in_namespace
from tulle.agent.capture.rules import Table
from tulle.agent.envoy_binary import find
from tulle.identity.ca import Authority, new_authority, pem, sign
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.sds import certificate_secret, trust_bundle_secret
from tulle.identity.svid import Svid, certified
from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.names import ProxyId, ServiceName, ServicePort, SpiffeId, WorkloadName, WorkloadPort
from tulle.stream import ABSENT, Absent, DeltaSession, Nacked, Pending, Subscribed
from tulle.view.types import (
    Backend,
    CapturedPort,
    ClusterView,
    EndpointGroup,
    EndpointsView,
    EndpointView,
    Forward,
    IdentitiesClusterView,
    InboundListenerView,
    LocalClusterView,
    OutboundListenerView,
    PassthroughClusterView,
    PathMatch,
    PortProtocol,
    RouteConfigView,
    RouteMatch,
    RouteView,
    View,
    VirtualHostView,
)
from tulle.xds import type_urls
from tulle.xds.bootstrap import ProxySettings, bootstrap
from tulle.xds.names import PLACEHOLDER_AUTHORITY, key_of, name_of
from tulle.xds.resource import Resource
from tulle.xds.translate import translate

DOMAIN = "tulle.local"
LIMIT = 15.0
"""Seconds after which a test has failed rather than that it is still waiting."""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {LIMIT} s: {what}")
        time.sleep(0.02)


class Views:
    """What the xDS server serves: views by key, secrets by name, and what the wildcards stand for."""

    def __init__(self) -> None:
        self.views: dict[Key, View] = {}
        self.secrets: dict[str, Resource | Pending] = {}
        self.root_keys: dict[str, list[Key]] = {}

    def get(self, type_url: str, name: str) -> Resource | Absent | Pending:
        if type_url == type_urls.SECRET:
            return self.secrets.get(name, ABSENT)
        key = key_of(type_url, name)
        if isinstance(key, VirtualHostKey):
            return translate(self.views.get(key, VirtualHostView(key.client_namespace, key.authority, ())))
        if isinstance(key, RouteConfigKey):
            return translate(RouteConfigView(key.client_namespace))
        view = self.views.get(key) if key else None
        return translate(view) if view else ABSENT

    def roots(self, type_url: str) -> tuple[str, ...] | Pending:
        return tuple(name_of(key)[1] for key in self.root_keys.get(type_url, ()))


class AdsServer:
    """Delta ADS on a unix socket, one session per stream."""

    def __init__(self, path: Path, source: Views) -> None:
        self._path, self._source = path, source
        self._lock = threading.RLock()
        self._streams: dict[DeltaSession, queue.Queue[None]] = {}
        self._server: grpc.Server | None = None
        self._started = 0
        self.nacks: list[Nacked] = []
        self.asked: Counter[tuple[str, str]] = Counter()

    def start(self) -> None:
        handler = grpc.method_handlers_generic_handler(
            "envoy.service.discovery.v3.AggregatedDiscoveryService",
            {
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._serve, request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString
                )
            },
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(f"unix:{self._path}")
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def changed(self, *keys: Key) -> None:
        self.names_changed(*map(name_of, keys))

    def names_changed(self, *names: tuple[str, str]) -> None:
        with self._lock:
            for session, wake in self._streams.items():
                session.changed(names)
                for type_url in (type_urls.CLUSTER, type_urls.LISTENER, type_urls.VIRTUAL_HOST):
                    session.roots_changed(type_url)
                wake.put(None)

    def in_sync(self) -> bool:
        with self._lock:
            return bool(self._streams) and all(session.in_sync for session in self._streams)

    def acknowledged(self, key: Key) -> bool:
        type_url, name = name_of(key)
        with self._lock:
            return any(name in session.acknowledged(type_url) for session in self._streams)

    def _serve(self, requests: Iterator[discovery_pb2.DeltaDiscoveryRequest], _: object) -> Iterator[bytes]:
        wake: queue.Queue[None] = queue.Queue()
        with self._lock:
            self._started += 1
            session = DeltaSession(self._source, f"{self._started}-")
            self._streams[session] = wake
        open_ = threading.Event()
        open_.set()

        def read() -> None:
            with contextlib.suppress(Exception):  # the stream's end is an exception here
                for request in requests:
                    with self._lock:
                        events = session.receive(request)
                        self.nacks.extend(e for e in events if isinstance(e, Nacked))
                        for event in events:
                            if isinstance(event, Subscribed):
                                self.asked.update((event.type_url, name) for name in event.names)
                        self.asked.update(
                            (f"again {request.type_url}", name) for name in request.resource_names_subscribe
                        )
                    wake.put(None)
            open_.clear()
            wake.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            while open_.is_set():
                wake.get()
                while True:
                    with self._lock:
                        response = session.next_response()
                    if response is None:
                        break
                    yield response
        finally:
            with self._lock:
                self._streams.pop(session, None)


class App:
    """An HTTP/1.1 server that says what it got, on a socket that is already listening. Counts connections."""

    def __init__(self, listening: socket.socket) -> None:
        self.connections = 0
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                got = self._chunked() if self.headers.get("transfer-encoding") else len(self.rfile.read(length))
                said = {"path": self.path, "headers": dict(self.headers.items()), "bytes": got}
                body = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("server", "the-app")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _chunked(self) -> int:
                total = 0
                while size := int(self.rfile.readline(), 16):
                    total += len(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return total

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[socket.socket, object]:
                accepted = super().get_request()
                app.connections += 1
                return accepted

        self._server = Server(("", 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        listening.setblocking(True)
        self._server.socket = listening
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Echo:
    """A TCP server that speaks first and then says everything back. With `tls`, says who the client is."""

    GREETING = b"hello\n"

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None = None,
        say: Callable[[ssl.SSLSocket], str] = lambda connection: uri(connection),
    ) -> None:
        self.connections = 0
        self._listening, self._tls, self._say = listening, tls, say
        self._open: list[socket.socket] = []
        listening.setblocking(True)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(accepted)
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(accepted.close)
            greeting = self.GREETING
            if self._tls is not None:
                accepted = stack.enter_context(self._tls.wrap_socket(accepted, server_side=True))
                greeting = f"{self._say(accepted)}\n".encode()
            accepted.sendall(greeting)
            while data := accepted.recv(4096):
                accepted.sendall(data)

    def close(self) -> None:
        # accept() in another thread does not notice a close.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for accepted in self._open:
            accepted.close()


class TlsHttp:
    """An HTTP server behind TLS that answers with the client's SPIFFE ID, one request per read."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        self.requests = 0
        self._listening, self._tls = listening, tls
        listening.setblocking(True)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), self._tls.wrap_socket(raw, server_side=True) as accepted:
            body = uri(accepted).encode()
            while accepted.recv(65536):
                self.requests += 1
                accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def uri(connection: ssl.SSLSocket) -> str:
    certificate = connection.getpeercert() or {}
    return next((value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"), "")


def serial(connection: ssl.SSLSocket) -> str:
    """The serial number of the client's certificate."""
    return str((connection.getpeercert() or {}).get("serialNumber"))


class Upgrading(Echo):
    """Agrees to any upgrade, then says everything back."""

    GREETING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            accepted.recv(65536)
        super()._serve(accepted)


class GrpcEcho:
    """A gRPC server in a workload's namespace whose every method says everything back."""

    def __init__(self, workload: "WorkloadInMesh") -> None:
        self._workload = workload
        self.calls = 0

    def __enter__(self) -> "GrpcEcho":
        def both(requests: Iterator[bytes], _: object) -> Iterator[bytes]:
            self.calls += 1
            yield from requests

        handler = grpc.method_handlers_generic_handler(
            "echo.Echo", {"Both": grpc.stream_stream_rpc_method_handler(both)}
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((handler,))
        in_namespace(self._workload.network, lambda: self._server.add_insecure_port("127.0.0.1:50051"))
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()


class Relay:
    """A unix socket that leads to where `connect` leads, for clients that cannot be in a namespace."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name) / "relay.sock"
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "Relay":
        self._listening.bind(str(self.path))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._directory.cleanup()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                other = self._connect()
                for source, sink in ((accepted, other), (other, accepted)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Mesh:
    """One Envoy, as a node proxy, in a namespace of its own in which every address leads to `lo`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = new_authority(DOMAIN, datetime.now(UTC))
        self.views = Views()
        self.proxy = ProxyId("n1")
        self.server = AdsServer(directory / "xds.sock", self.views)
        self.namespaces = Namespaces(directory)
        self.admin_socket = directory / "admin.sock"
        self._stack = contextlib.ExitStack()
        self._identities: list[SpiffeId] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._mesh_port = 20000

    def __enter__(self) -> "Mesh":
        with contextlib.ExitStack() as stack:
            stack.callback(self.namespaces.sweep)
            self.host = self.namespaces.create(WorkloadName("host", "n1"), Table("tulle", ()))
            bundle = trust_bundle_secret(DOMAIN, self.authority.bundle_pem)
            self.views.secrets[bundle.name] = bundle
            passthrough = PassthroughClusterKey()
            self.views.views[passthrough] = PassthroughClusterView(passthrough)
            self.views.root_keys[type_urls.CLUSTER] = [IdentitiesClusterKey(str(self.proxy)), passthrough]
            self._publish_identities()
            self.server.start()
            stack.callback(self.server.stop)
            self._start_envoy()
            stack.callback(self._stop_envoy)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # Envoy

    def _start_envoy(self) -> None:
        settings = ProxySettings(self.proxy, str(self.directory / "xds.sock"), str(self.admin_socket))
        config = self.directory / "bootstrap.json"
        config.write_bytes(bootstrap(settings))
        log = (self.directory / "envoy.log").open("wb")
        arguments = [str(find({}).path), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
        arguments += ["--drain-time-s", "1", "-l", os.environ.get("ENVOY_LOG", "info")]
        with log:
            self._process = in_namespace(
                self.host, lambda: subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)
            )
        until(lambda: self.admin_socket.exists() and self.admin("/ready") == "LIVE\n", "Envoy is ready")

    def _stop_envoy(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self.directory / "envoy.log").read_text()

    def admin(self, path: str) -> str:
        connection = http.client.HTTPConnection("admin", timeout=LIMIT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LIMIT)
        try:
            connection.sock.connect(str(self.admin_socket))
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        lines = self.admin("/stats?filter=^" + name.replace(".", r"\.") + "$").split()
        return int(lines[-1]) if lines else 0

    # Configuration

    def put(self, *pairs: tuple[Key, View]) -> None:
        for key, view in pairs:
            self.views.views[key] = view
        self.server.changed(*(key for key, _ in pairs))

    def remove(self, *keys: Key) -> None:
        for key in keys:
            self.views.views.pop(key, None)
            for roots in self.views.root_keys.values():
                if key in roots:
                    roots.remove(key)
        self.server.changed(*keys)

    def root(self, type_url: str, key: Key) -> None:
        roots = self.views.root_keys.setdefault(type_url, [])
        if key not in roots:
            roots.append(key)

    def svid(self, identity: SpiffeId, authority: Authority | None = None) -> Svid:
        authority = authority or self.authority
        key = new_key()
        leaf = sign(signing_request(key), identity, datetime.now(UTC), timedelta(hours=1), authority)
        return certified(key, pem(leaf), identity, authority.bundle_pem)

    def _publish_identities(self) -> None:
        key = IdentitiesClusterKey(str(self.proxy))
        self.views.views[key] = IdentitiesClusterView(key, tuple(sorted(self._identities)))

    def renew(self, identity: SpiffeId) -> None:
        """Gives out a new certificate."""
        secret = certificate_secret(self.svid(identity))
        self.views.secrets[secret.name] = secret
        self.server.names_changed((secret.type_url, secret.name))

    def identity(self, namespace: str, account: str) -> SpiffeId:
        identity = SpiffeId(DOMAIN, namespace, account)
        if identity not in self._identities:
            self._identities.append(identity)
            self.views.secrets[str(identity)] = certificate_secret(self.svid(identity))
            self._publish_identities()
            self.server.changed(IdentitiesClusterKey(str(self.proxy)))
        return identity

    def workload(
        self,
        name: WorkloadName,
        account: str,
        ports: Sequence[int] = (),
        passthrough: bool = False,
        exceptions: tuple[CapturedPort, ...] = (),
        gateway: str = "",
        has_certificate: bool = True,
    ) -> "WorkloadInMesh":
        """A workload with its namespace and both listeners, ready to send and receive."""
        network = self.namespaces.create(name)
        self._mesh_port += 1
        identity = SpiffeId(DOMAIN, name.namespace, account)
        if has_certificate:
            self.identity(name.namespace, account)
        workload = WorkloadInMesh(self, name, network, identity, self._mesh_port, gateway)
        pairs: list[tuple[Key, View]] = []
        for port in ports:
            local = LocalClusterKey(WorkloadPort(name, port))
            self.root(type_urls.CLUSTER, local)
            pairs.append((local, LocalClusterView(local, str(network))))
        self.root(type_urls.VIRTUAL_HOST, VirtualHostKey(name.namespace, PLACEHOLDER_AUTHORITY))
        inbound, outbound = ListenerKey(name, "inbound"), ListenerKey(name, "outbound")
        self.root(type_urls.LISTENER, inbound)
        self.root(type_urls.LISTENER, outbound)
        served = tuple(WorkloadPort(name, port) for port in ports)
        pairs.append(
            (inbound, InboundListenerView(inbound, "127.0.0.1", workload.mesh_port, workload.identity, served))
        )
        pairs.append((outbound, workload.outbound_view(passthrough, exceptions)))
        self.put(*pairs)
        self.wait_listening(inbound, outbound)
        return workload

    def wait_listening(self, *keys: ListenerKey) -> None:
        names = [name_of(key)[1] for key in keys]
        until(lambda: all(name in self.admin("/listeners") for name in names), f"listeners {names}")

    def http_service(
        self,
        name: str,
        port: int,
        endpoints: Sequence[EndpointView],
        identities: Sequence[SpiffeId],
        clients: str = "shop",
        protocol: PortProtocol = "http",
        authority: str = "",
    ) -> str:
        """An HTTP service of namespace shop; returns the authority that clients use."""
        service = ServicePort(ServiceName("shop", name), port)
        cluster, instances = ClusterKey(service), EndpointsKey(service)
        authority = authority or f"{name}:{port}"
        host = VirtualHostKey(clients, authority)
        route = RouteView(name, RouteMatch(PathMatch("prefix", "/")), Forward((Backend(cluster, 1),)))
        self.put(
            (instances, EndpointsView(instances, (EndpointGroup(1, tuple(endpoints)),))),
            (cluster, ClusterView(cluster, protocol, tuple(identities), instances)),
            (host, VirtualHostView(clients, authority, (route,))),
        )
        return authority

    def tcp_service(
        self, address: str, endpoints: Sequence[EndpointView], identities: Sequence[SpiffeId], clients: str = "shop"
    ) -> None:
        """What connections to `address` (IP and port) reach."""
        cluster, instances = TcpClusterKey(clients, address), TcpEndpointsKey(clients, address)
        self.put(
            (instances, EndpointsView(instances, (EndpointGroup(1, tuple(endpoints)),))),
            (cluster, ClusterView(cluster, "tcp", tuple(identities), instances)),
        )

    def tls(self, identity: SpiffeId) -> ssl.SSLContext:
        """A server in Python that shows `identity` and wants a certificate of the mesh."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.authority.bundle_pem)
        load_svid(context, self.svid(identity), self.directory)
        return context


def load_svid(context: ssl.SSLContext, svid: Svid, directory: Path) -> None:
    path = directory / "pair.pem"
    path.write_bytes(svid.key.reveal() + svid.chain_pem.encode())
    context.load_cert_chain(path)
    path.unlink()


class WorkloadInMesh:
    """A workload's namespace, and what its application can do in it."""

    def __init__(
        self, mesh: Mesh, name: WorkloadName, network: Path, identity: SpiffeId, mesh_port: int, gateway: str
    ) -> None:
        self.mesh, self.name, self.network, self.identity = mesh, name, network, identity
        self.mesh_port, self._gateway = mesh_port, gateway

    def outbound_view(self, passthrough: bool, exceptions: tuple[CapturedPort, ...]) -> OutboundListenerView:
        return OutboundListenerView(
            ListenerKey(self.name, "outbound"),
            str(self.network),
            self.identity,
            self.name.namespace,
            PassthroughClusterKey(self._gateway) if passthrough else None,
            exceptions,
        )

    def endpoint(self, port: int) -> EndpointView:
        return EndpointView("127.0.0.1", self.mesh_port, WorkloadPort(self.name, port))

    def listen(self, port: int, address: str = "127.0.0.1") -> socket.socket:
        return bind_tcp(self.network, address, port)

    def connect(self, address: str, port: int) -> socket.socket:
        return in_namespace(self.network, lambda: socket.create_connection((address, port), timeout=LIMIT))

    def request(
        self,
        address: str,
        authority: str,
        path: str = "/",
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterator[bytes] | None = None,
    ) -> "Answer":
        """One request on a connection of its own to a virtual address; the port is the authority's."""
        port = int(authority.rpartition(":")[2]) if authority.rpartition(":")[2].isdigit() else 80
        connection = http.client.HTTPConnection(address, port, timeout=LIMIT)
        connection.sock = self.connect(address, port)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", authority)
            for name, value in headers:
                connection.putheader(name, value)
            if isinstance(body, bytes):
                connection.putheader("content-length", str(len(body)))
            elif body is not None:
                connection.putheader("transfer-encoding", "chunked")
            chunked = body is not None and not isinstance(body, bytes)
            connection.endheaders(body, encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode())
        finally:
            connection.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        self.status, self.headers, self.body = status, headers, body
