"""A real Envoy takes what `tulle.xds` makes, and does with connections and requests what the design says."""

import json
import os
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
import pytest
from msgspec.structs import replace
from tests.e2e.dataplane import (
    DOMAIN,
    LIMIT,
    App,
    Echo,
    GrpcEcho,
    Mesh,
    Relay,
    TlsHttp,
    Upgrading,
    WorkloadInMesh,
    load_svid,
    serial,
    until,
)

from tulle.agent.capture.namespace import bind_tcp, in_namespace
from tulle.identity.ca import new_authority
from tulle.model.keys import ClusterKey, ListenerKey, PassthroughClusterKey, VirtualHostKey
from tulle.model.names import ServiceName, ServicePort, SpiffeId, WorkloadName, WorkloadPort
from tulle.stream import PENDING
from tulle.view.types import (
    Backend,
    CapturedPort,
    DirectResponse,
    EndpointView,
    Forward,
    HeaderEdit,
    PassthroughClusterView,
    PathMatch,
    PathRewrite,
    Redirect,
    RouteMatch,
    RouteView,
    ValueMatch,
    VirtualHostView,
)
from tulle.xds import type_urls
from tulle.xds.limits import STREAM_WITHOUT_ROUTE

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root for network namespaces"),
]

OK = DirectResponse(200, "ok")
HTTP_VIP, HTTP_VIP_6 = "240.240.0.1", "fd74:756c:6c65:1::f0f0:1"
TCP_VIP, TCP_VIP_6 = "240.244.0.1", "fd74:756c:6c65:2::f0f4:1"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(tmp_path_factory.mktemp("m")) as mesh:
        yield mesh
        assert mesh.alive, mesh.log()[-4000:]
        assert not mesh.server.nacks


@pytest.fixture(scope="module")
def web(mesh: Mesh) -> WorkloadInMesh:
    """A client."""
    return mesh.workload(WorkloadName("shop", "web-1"), "web", passthrough=True)


@pytest.fixture(scope="module")
def batch(mesh: Mesh) -> WorkloadInMesh:
    """Another client of the same node and namespace, with another identity."""
    return mesh.workload(WorkloadName("shop", "batch-1"), "batch")


@pytest.fixture(scope="module")
def catalog(mesh: Mesh) -> WorkloadInMesh:
    """A server."""
    return mesh.workload(WorkloadName("shop", "catalog-1"), "catalog", ports=[8080, 9000])


@pytest.fixture(scope="module")
def app(catalog: WorkloadInMesh) -> Iterator[App]:
    app = App(catalog.listen(8080))
    yield app
    app.close()


@pytest.fixture(scope="module")
def echo(catalog: WorkloadInMesh) -> Iterator[Echo]:
    echo = Echo(catalog.listen(9000))
    yield echo
    echo.close()


class TestHttp:
    def test_the_first_request_finds_its_service(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("catalog", 8080, [catalog.endpoint(8080)], [catalog.identity])
        for _ in range(2):
            answer = web.request(HTTP_VIP, authority, "/items?x=1")
            assert answer.status == 200, answer.body
            assert json.loads(answer.body)["path"] == "/items?x=1"

    def test_over_ipv6(self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App) -> None:
        authority = mesh.http_service("six", 8080, [catalog.endpoint(8080)], [catalog.identity])
        assert web.request(HTTP_VIP_6, authority).status == 200

    @pytest.mark.parametrize("size", [5, 200_000, 3_000_000])
    def test_a_first_request_with_a_body_arrives_whole(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App, size: int
    ) -> None:
        authority = mesh.http_service(f"body{size}", 8080, [catalog.endpoint(8080)], [catalog.identity])
        answer = web.request(HTTP_VIP, authority, method="POST", body=b"x" * size)
        assert answer.status == 200, answer.body
        assert json.loads(answer.body)["bytes"] == size

    def test_a_first_request_in_chunks_arrives_whole(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("chunks", 8080, [catalog.endpoint(8080)], [catalog.identity])
        answer = web.request(HTTP_VIP, authority, method="POST", body=iter([b"x" * 1000] * 500))
        assert answer.status == 200, answer.body
        assert json.loads(answer.body)["bytes"] == 500_000

    @pytest.mark.parametrize("host", ["nobody:8080", "NoBody", "*.catalog:8080", "*", "1.2.3.4:5", "[::1]:80", "a~b"])
    def test_an_unknown_host_is_404(self, mesh: Mesh, web: WorkloadInMesh, host: str) -> None:
        assert web.request(HTTP_VIP, host).status == 404

    def test_an_unknown_host_is_asked_for_once(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        for _ in range(3):
            assert web.request(HTTP_VIP, "nowhere").status == 404
        assert mesh.server.asked[f"again {type_urls.VIRTUAL_HOST}", "shop/nowhere"] == 1

    def test_a_service_that_comes_later_is_found(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        assert web.request(HTTP_VIP, "late:8080").status == 404
        authority = mesh.http_service("late", 8080, [catalog.endpoint(8080)], [catalog.identity])
        until(lambda: web.request(HTTP_VIP, authority).status == 200, "the new service answers")

    def test_a_service_that_goes_and_comes_back(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("fickle", 8080, [catalog.endpoint(8080)], [catalog.identity])
        assert web.request(HTTP_VIP, authority).status == 200
        gone = [key for key in mesh.views.views if "fickle" in repr(key)]
        mesh.remove(*gone)
        until(lambda: web.request(HTTP_VIP, authority).status == 404, "the service is gone")
        until(mesh.server.in_sync, "the removal is acknowledged")
        mesh.http_service("fickle", 8080, [catalog.endpoint(8080)], [catalog.identity])
        until(lambda: web.request(HTTP_VIP, authority).status == 200, "the service is back")

    def test_headers_are_the_applications(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("headers", 8080, [catalog.endpoint(8080)], [catalog.identity])
        sent = [
            ("x-envoy-upstream-rq-timeout-ms", "1"),
            ("X-Envoy-Retry-On", "5xx"),
            ("x-forwarded-client-cert", "By=spiffe://evil"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "mine"),
        ]
        answer = web.request(HTTP_VIP, authority, headers=sent)
        got = {name.lower(): value for name, value in json.loads(answer.body)["headers"].items()}
        assert got == {
            "host": authority,
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-proto": "https",
            "x-request-id": "mine",
        }
        assert not [name for name in answer.headers if name.lower().startswith("x-envoy")]
        assert answer.headers["server"].endswith("the-app")

    @pytest.mark.parametrize(("path", "status"), [("/a%2Fb", 400), ("/a/../b//c", 200)])
    def test_paths_are_canonical(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App, path: str, status: int
    ) -> None:
        authority = mesh.http_service("paths", 8080, [catalog.endpoint(8080)], [catalog.identity])
        answer = web.request(HTTP_VIP, authority, path)
        assert answer.status == status
        assert status != 200 or json.loads(answer.body)["path"] == "/b/c"

    def test_clients_of_another_namespace(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        """A second route configuration starts too, though Envoy asks for no virtual hosts of it."""
        other = mesh.workload(WorkloadName("other", "odd-1"), "odd")
        authority = mesh.http_service("catalog", 8080, [catalog.endpoint(8080)], [catalog.identity], clients="other")
        assert other.request(HTTP_VIP, authority).status == 200

    def test_websocket(self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh) -> None:
        mesh_server = mesh.workload(WorkloadName("shop", "chat-1"), "chat", ports=[80])
        chat = Upgrading(mesh_server.listen(80))
        try:
            authority = mesh.http_service("chat", 80, [mesh_server.endpoint(80)], [mesh_server.identity])
            with web.connect(HTTP_VIP, 80) as connection:
                connection.sendall(
                    f"GET / HTTP/1.1\r\nhost: {authority}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".encode()
                )
                assert connection.recv(1000).startswith(b"HTTP/1.1 101 ")
                exchange(connection)
        finally:
            chat.close()

    def test_headers_that_never_end_are_answered(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        with web.connect(HTTP_VIP, 8080) as connection:
            connection.settimeout(LIMIT + STREAM_WITHOUT_ROUTE.total_seconds())
            connection.sendall(b"GET / HTTP/1.1\r\nhost: catalog")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
            assert connection.recv(1000) == b""

    def test_grpc(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        """HTTP/2 all the way, first request included."""
        server = mesh.workload(WorkloadName("shop", "grpc-1"), "grpc", ports=[50051])
        with GrpcEcho(server) as echo, Relay(lambda: web.connect(HTTP_VIP, 50051)) as relay:
            mesh.http_service("grpc", 50051, [server.endpoint(50051)], [server.identity], protocol="http2")
            options = [("grpc.default_authority", "grpc:50051")]
            with grpc.insecure_channel(f"unix:{relay.path}", options=options) as channel:
                call = channel.stream_stream("/echo.Echo/Both")
                assert list(call(iter([b"a", b"b", b"c"]), timeout=LIMIT)) == [b"a", b"b", b"c"]
            assert echo.calls == 1


@pytest.fixture(scope="module")
def routed(mesh: Mesh, catalog: WorkloadInMesh, app: App) -> str:
    mesh.http_service("routed", 8080, [catalog.endpoint(8080)], [catalog.identity])
    cluster = ClusterKey(ServicePort(ServiceName("shop", "routed"), 8080))
    gone = ClusterKey(ServicePort(ServiceName("shop", "gone"), 8080))

    def forward(path: str, **fields: object) -> RouteView:
        to = Forward((Backend(cluster, 1),), **fields)  # type: ignore[arg-type]
        return RouteView(path, RouteMatch(PathMatch("prefix", path)), to)

    routes = (
        forward("/strip", path_rewrite=PathRewrite("prefix", "/")),
        forward("/a", path_rewrite=PathRewrite("prefix", "/b/"), host_rewrite="inside.example"),
        forward("/full", path_rewrite=PathRewrite("full", "/x\\1")),
        RouteView(
            "headers",
            RouteMatch(PathMatch("exact", "/headers")),
            Forward((Backend(cluster, 1, HeaderEdit(set=(("x-who", "backend"),))),)),
            request_headers=HeaderEdit(
                set=(("x-who", "rule"), ("x-percent", "100%")), add=(("x-more", "2"),), remove=("x-gone",)
            ),
            response_headers=HeaderEdit(set=(("server", "changed"),)),
        ),
        RouteView("query", RouteMatch(PathMatch("exact", "/q"), query=(ValueMatch("v", "regex", "[0-9]+"),)), OK),
        RouteView("get", RouteMatch(PathMatch("exact", "/get"), method="GET"), OK),
        RouteView("agent", RouteMatch(PathMatch("exact", "/h"), (ValueMatch("x-v", "exact", "1"),)), OK),
        RouteView("regex", RouteMatch(PathMatch("regex", "/v[0-9]")), OK),
        RouteView("element", RouteMatch(PathMatch("prefix", "/element/")), OK),
        RouteView("to", RouteMatch(PathMatch("prefix", "/old")), Redirect(path=PathRewrite("prefix", "/"))),
        RouteView("secure", RouteMatch(PathMatch("prefix", "/secure")), Redirect(scheme="https", status=301)),
        RouteView("split", RouteMatch(PathMatch("prefix", "/split")), Forward((Backend(cluster, 1), Backend(None, 1)))),
        RouteView("lost", RouteMatch(PathMatch("prefix", "/lost")), Forward((Backend(gone, 1),))),
        RouteView("none", RouteMatch(PathMatch("prefix", "/none")), Forward(())),
    )
    key = VirtualHostKey("shop", "routed:8080")
    mesh.put((key, VirtualHostView("shop", "routed:8080", routes)))
    return "routed:8080"


class TestRoutes:
    """Gateway API's semantics, in what the server gets and the client hears."""

    @pytest.mark.parametrize(
        ("path", "got"),
        [
            ("/strip/items?x=1", "/items?x=1"),
            ("/strip", "/"),
            ("/strip?x=1", "/?x=1"),
            ("/a/c", "/b/c"),
            ("/a?q", "/b?q"),
            ("/full/anything?q=1", "/x\\1?q=1"),
        ],
    )
    def test_the_path_is_rewritten(self, web: WorkloadInMesh, routed: str, path: str, got: str) -> None:
        assert json.loads(web.request(HTTP_VIP, routed, path).body)["path"] == got

    def test_the_host_is_rewritten(self, web: WorkloadInMesh, routed: str) -> None:
        said = json.loads(web.request(HTTP_VIP, routed, "/a").body)
        assert said["headers"]["host"] == "inside.example"

    def test_headers_are_edited_and_the_backend_has_the_last_word(self, web: WorkloadInMesh, routed: str) -> None:
        sent = [("x-who", "client"), ("x-more", "1"), ("x-gone", "1")]
        answer = web.request(HTTP_VIP, routed, "/headers", headers=sent)
        got = json.loads(answer.body)["headers"]
        assert (got["x-who"], got["x-percent"], got["x-more"]) == (
            "backend",
            "100%",
            "2",
        )  # of the two x-more, the last
        assert "x-gone" not in got
        assert answer.headers["server"] == "changed"

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("GET", "/q?v=12", (), 200),
            ("GET", "/q?v=12a", (), 404),
            ("GET", "/q", (), 404),
            ("GET", "/get", (), 200),
            ("POST", "/get", (), 404),
            ("GET", "/h", (("X-V", "1"),), 200),
            ("GET", "/h", (("X-V", "11"),), 404),
            ("GET", "/v1", (), 200),
            ("GET", "/v12", (), 404),
            ("GET", "/element", (), 200),
            ("GET", "/element/x", (), 200),
            ("GET", "/elements", (), 404),
            ("GET", "/lost", (), 503),
            ("GET", "/none", (), 500),
            ("OPTIONS", "*", (), 404),
            ("CONNECT", "routed:8080", (), 404),
        ],
    )
    def test_conditions(
        self,
        web: WorkloadInMesh,
        routed: str,
        method: str,
        path: str,
        headers: tuple[tuple[str, str], ...],
        status: int,
    ) -> None:
        assert web.request(HTTP_VIP, routed, path, method=method, headers=headers).status == status

    @pytest.mark.parametrize(
        ("path", "status", "location"),
        [
            ("/old/x?y=1", 302, "http://routed:8080/x?y=1"),
            ("/old", 302, "http://routed:8080/"),
            ("/secure/x", 301, "https://routed/secure/x"),
        ],
    )
    def test_redirects(self, web: WorkloadInMesh, routed: str, path: str, status: int, location: str) -> None:
        answer = web.request(HTTP_VIP, routed, path)
        assert (answer.status, answer.headers["location"]) == (status, location)

    def test_an_invalid_reference_keeps_its_share(self, web: WorkloadInMesh, routed: str) -> None:
        counts = Counter(web.request(HTTP_VIP, routed, "/split").status for _ in range(100))
        assert set(counts) == {200, 500}
        assert min(counts.values()) > 15  # of 50 expected: seven deviations


class TestTcp:
    @pytest.mark.parametrize(("vip", "name"), [(TCP_VIP, f"{TCP_VIP}:9000"), (TCP_VIP_6, f"[{TCP_VIP_6}]:9000")])
    def test_a_connection_finds_its_service(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo, vip: str, name: str
    ) -> None:
        mesh.tcp_service(name, [catalog.endpoint(9000)], [catalog.identity])
        with web.connect(vip, 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
            connection.sendall(b"ping")
            assert connection.recv(100) == b"ping"

    def test_an_unknown_address_is_closed(self, web: WorkloadInMesh) -> None:
        with web.connect("240.244.9.9", 9000) as connection:
            assert received(connection) == b""

    def test_an_http_address_with_a_tcp_port(self, mesh: Mesh, catalog: WorkloadInMesh, app: App, echo: Echo) -> None:
        mixed = "240.240.0.7"
        exceptions = (CapturedPort((mixed, "fd74:756c:6c65:1::f0f0:7"), 9000, "tcp"),)
        client = mesh.workload(WorkloadName("shop", "mixed-1"), "web", exceptions=exceptions)
        mesh.tcp_service(f"{mixed}:9000", [catalog.endpoint(9000)], [catalog.identity])
        with client.connect(mixed, 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
        on_9000 = mesh.http_service("onninety", 9000, [catalog.endpoint(8080)], [catalog.identity])
        assert client.request(HTTP_VIP, on_9000).status == 200
        assert client.request(mixed, "nobody:8080").status == 404

    def test_outside_by_passthrough(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        outside = Echo(bind_tcp(mesh.host, "0.0.0.0", 5555))
        try:
            with web.connect("198.51.100.1", 5555) as connection:
                assert connection.recv(100) == Echo.GREETING
        finally:
            outside.close()

    def test_outside_is_refused_at_once_without_passthrough(self, mesh: Mesh, batch: WorkloadInMesh) -> None:
        outside = Echo(bind_tcp(mesh.host, "0.0.0.0", 5556))
        try:
            with batch.connect("198.51.100.1", 5556) as connection:
                assert received(connection) == b""
            assert outside.connections == 0
        finally:
            outside.close()

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_the_capture_port_does_not_lead_to_the_loopback_of_the_host(
        self, mesh: Mesh, web: WorkloadInMesh, address: str
    ) -> None:
        outside = Echo(bind_tcp(mesh.host, address, 15001))
        try:
            with web.connect(address, 15001) as connection:
                assert received(connection) == b""
            assert outside.connections == 0
        finally:
            outside.close()

    @pytest.mark.parametrize("address", ["169.254.169.254", "fe80::a9fe:a9fe%1"])
    def test_what_is_on_the_link_of_the_host_is_not_for_workloads(
        self, mesh: Mesh, web: WorkloadInMesh, address: str
    ) -> None:
        """Such as a cloud's metadata, which has the host's credentials."""
        outside = Echo(bind_tcp(mesh.host, "::" if ":" in address else "0.0.0.0", 5557))
        try:
            with web.connect(address, 5557) as connection:
                assert received(connection) == b""
            assert outside.connections == 0
        finally:
            outside.close()

    def test_an_application_on_ipv6_only(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        server = mesh.workload(WorkloadName("shop", "six-1"), "catalog", ports=[9000])
        echo = Echo(server.listen(9000, "::1"))
        try:
            mesh.tcp_service("240.244.0.6:9000", [server.endpoint(9000)], [server.identity])
            with web.connect("240.244.0.6", 9000) as connection:
                assert connection.recv(100) == Echo.GREETING
        finally:
            echo.close()

    def test_outside_by_the_gateway_of_the_agent(self, mesh: Mesh) -> None:
        path = mesh.directory / "gateway.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        gateway = Echo(listening)
        key = PassthroughClusterKey(str(path))
        mesh.root(type_urls.CLUSTER, key)
        mesh.put((key, PassthroughClusterView(key)))
        try:
            client = mesh.workload(WorkloadName("shop", "rootless-1"), "web", passthrough=True, gateway=str(path))
            for address, family in (("198.51.100.1", 0x11), ("2001:db8::1", 0x21)):
                with client.connect(address, 443) as connection:
                    connection.sendall(b"first")
                    said = b""
                    while b"first" not in said:
                        said += connection.recv(1000)
                    header = said.removeprefix(Echo.GREETING)
                    assert header.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([family]))
                    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
                    assert packed in header
                    assert (443).to_bytes(2) in header
        finally:
            gateway.close()

    def test_a_service_that_goes_and_comes_back(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        def greets() -> bool:
            with web.connect("240.244.0.5", 9000) as connection:
                return received_first(connection) == Echo.GREETING

        mesh.tcp_service("240.244.0.5:9000", [catalog.endpoint(9000)], [catalog.identity])
        assert greets()
        mesh.remove(*(key for key in list(mesh.views.views) if "240.244.0.5:" in repr(key)))
        until(lambda: not greets(), "the service is gone")
        mesh.tcp_service("240.244.0.5:9000", [catalog.endpoint(9000)], [catalog.identity])
        until(greets, "the service is back")


class TestIdentity:
    def test_each_workload_of_a_proxy_calls_as_itself_over_http(
        self, mesh: Mesh, web: WorkloadInMesh, batch: WorkloadInMesh
    ) -> None:
        identity = SpiffeId(DOMAIN, "shop", "plain")
        server = TlsHttp(bind_tcp(mesh.host, "127.0.0.1", 7001), mesh.tls(identity))
        try:
            endpoint = EndpointView("127.0.0.1", 7001, WorkloadPort(WorkloadName("shop", "plain-1"), 80))
            authority = mesh.http_service("plain", 8080, [endpoint], [identity])
            for _ in range(3):
                for client in (web, batch):
                    answer = client.request(HTTP_VIP, authority)
                    assert (answer.status, answer.body) == (200, str(client.identity))
        finally:
            server.close()

    def test_each_workload_of_a_proxy_calls_as_itself_over_tcp(
        self, mesh: Mesh, web: WorkloadInMesh, batch: WorkloadInMesh
    ) -> None:
        identity = SpiffeId(DOMAIN, "shop", "plain")
        server = Echo(bind_tcp(mesh.host, "127.0.0.1", 7002), mesh.tls(identity))
        try:
            endpoint = EndpointView("127.0.0.1", 7002, WorkloadPort(WorkloadName("shop", "plain-2"), 80))
            mesh.tcp_service("240.244.0.2:80", [endpoint], [identity])
            for client in (web, batch, web, batch):
                with client.connect("240.244.0.2", 80) as connection:
                    assert connection.recv(200).decode() == f"{client.identity}\n"
        finally:
            server.close()

    @pytest.mark.parametrize("trusted", [(), (SpiffeId(DOMAIN, "shop", "somebody-else"),)])
    def test_a_server_with_another_identity_gets_no_request(
        self, mesh: Mesh, web: WorkloadInMesh, trusted: tuple[SpiffeId, ...]
    ) -> None:
        server = TlsHttp(bind_tcp(mesh.host, "127.0.0.1", 7003), mesh.tls(SpiffeId(DOMAIN, "shop", "imposter")))
        try:
            endpoint = EndpointView("127.0.0.1", 7003, WorkloadPort(WorkloadName("shop", "imposter-1"), 80))
            authority = mesh.http_service(f"imposter{len(trusted)}", 8080, [endpoint], trusted)
            assert web.request(HTTP_VIP, authority).status == 503
            assert server.requests == 0
        finally:
            server.close()

    def test_a_new_certificate_is_used_by_new_connections(self, mesh: Mesh, web: WorkloadInMesh) -> None:
        server = Echo(bind_tcp(mesh.host, "127.0.0.1", 7004), mesh.tls(web.identity), say=serial)
        try:
            endpoint = EndpointView("127.0.0.1", 7004, WorkloadPort(WorkloadName("shop", "plain-4"), 80))
            mesh.tcp_service("240.244.0.7:80", [endpoint], [web.identity])

            def seen() -> bytes:
                with web.connect("240.244.0.7", 80) as connection:
                    return received_first(connection)

            before = seen()
            mesh.renew(web.identity)
            until(lambda: seen() not in (before, b""), "the new certificate")
        finally:
            server.close()

    def test_without_a_certificate_there_is_no_connection(self, mesh: Mesh) -> None:
        """And as soon as the certificate is there, there is one."""
        server = TlsHttp(bind_tcp(mesh.host, "127.0.0.1", 7005), mesh.tls(SpiffeId(DOMAIN, "shop", "plain")))
        try:
            mesh.views.secrets[str(SpiffeId(DOMAIN, "shop", "late"))] = PENDING
            late = mesh.workload(WorkloadName("shop", "late-1"), "late", has_certificate=False)
            endpoint = EndpointView("127.0.0.1", 7005, WorkloadPort(WorkloadName("shop", "plain-5"), 80))
            authority = mesh.http_service("plain5", 8080, [endpoint], [SpiffeId(DOMAIN, "shop", "plain")])
            assert late.request(HTTP_VIP, authority).status == 503
            assert server.requests == 0
            mesh.renew(late.identity)
            until(lambda: late.request(HTTP_VIP, authority).body == str(late.identity), "late is let in as itself")
        finally:
            server.close()


class TestInbound:
    """What reaches the mesh address of a workload that is not a peer of the mesh, or not a good one."""

    def test_a_peer_with_a_certificate_gets_through(self, mesh: Mesh, catalog: WorkloadInMesh, echo: Echo) -> None:
        context = client_context(mesh, mesh.svid(SpiffeId(DOMAIN, "far", "away")))
        with dial(mesh, catalog, context, catalog.endpoint(9000).target.sni) as connection:
            assert connection.version() == "TLSv1.3"
            assert connection.recv(100) == Echo.GREETING

    def test_who_has_no_good_certificate_never_reaches_the_application(
        self, mesh: Mesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        sni = catalog.endpoint(9000).target.sni
        other_domain = new_authority("other.domain", datetime.now(UTC))
        same_name = new_authority(DOMAIN, datetime.now(UTC))
        strangers = {
            "no certificate": client_context(mesh, None),
            "another CA of the same name": client_context(mesh, mesh.svid(SpiffeId(DOMAIN, "shop", "web"), same_name)),
            "another trust domain": client_context(
                mesh, mesh.svid(SpiffeId("other.domain", "shop", "web"), other_domain)
            ),
        }
        before = echo.connections
        for who, context in strangers.items():
            assert said_to(mesh, catalog, context, sni) == b"", who
        tls12 = client_context(mesh, mesh.svid(SpiffeId(DOMAIN, "shop", "web")))
        tls12.maximum_version = ssl.TLSVersion.TLSv1_2
        assert said_to(mesh, catalog, tls12, sni) == b""
        assert echo.connections == before

    def test_another_server_name_finds_nothing(self, mesh: Mesh, catalog: WorkloadInMesh, echo: Echo) -> None:
        context = client_context(mesh, mesh.svid(SpiffeId(DOMAIN, "shop", "web")))
        before = echo.connections
        for sni in ("p9001.catalog-1.shop.workload.tulle", "catalog-1.shop.workload.tulle", "localhost", None):
            assert said_to(mesh, catalog, context, sni) == b""
        assert echo.connections == before

    def test_plaintext_finds_nothing(self, mesh: Mesh, catalog: WorkloadInMesh, echo: Echo) -> None:
        before = echo.connections
        with raw(mesh, catalog) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert received(connection) == b""
        assert echo.connections == before

    def test_sessions_are_not_resumed(self, mesh: Mesh, catalog: WorkloadInMesh, echo: Echo) -> None:
        context = client_context(mesh, mesh.svid(SpiffeId(DOMAIN, "shop", "web")))
        sni = catalog.endpoint(9000).target.sni
        with dial(mesh, catalog, context, sni) as first:
            first.recv(100)
            session = first.session
        assert session is None or not session.has_ticket


class TestMetrics:
    def test_connections_and_requests_are_counted(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App, echo: Echo
    ) -> None:
        mesh.tcp_service("240.244.0.10:9000", [catalog.endpoint(9000)], [catalog.identity])
        counters = {
            "listener.outbound/shop/web-1.downstream_cx_total": 1,
            "listener.inbound/shop/catalog-1.downstream_cx_total": 1,
            "listener.inbound/shop/catalog-1.ssl.handshake": 1,
            "cluster.tcp/shop/240.244.0.10_9000.upstream_cx_active": 1,
        }
        before = {name: mesh.stat(name) for name in counters}
        with web.connect("240.244.0.10", 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
            assert {name: mesh.stat(name) - before[name] for name in counters} == counters
        authority = mesh.http_service("counted", 8080, [catalog.endpoint(8080)], [catalog.identity])
        assert web.request(HTTP_VIP, authority).status == 200
        assert mesh.stat("cluster.counted.shop_8080.upstream_rq_total") == 1


class TestChange:
    def test_a_draining_endpoint_gets_nothing_new(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        name = "240.244.0.8:9000"
        old = mesh.workload(WorkloadName("shop", "old-1"), "catalog", ports=[9000])
        old_echo = Echo(old.listen(9000))
        try:
            mesh.tcp_service(name, [old.endpoint(9000)], [catalog.identity])
            with web.connect("240.244.0.8", 9000) as long:
                assert long.recv(100) == Echo.GREETING
                draining = replace(old.endpoint(9000), draining=True)
                mesh.tcp_service(name, [draining, catalog.endpoint(9000)], [catalog.identity])
                until(mesh.server.in_sync, "the endpoints are acknowledged")
                before = old_echo.connections
                for _ in range(10):
                    with web.connect("240.244.0.8", 9000) as connection:
                        assert connection.recv(100) == Echo.GREETING
                assert old_echo.connections == before
                exchange(long)
        finally:
            old_echo.close()

    def test_a_long_connection_survives_other_workloads(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        mesh.tcp_service("240.244.0.3:9000", [catalog.endpoint(9000)], [catalog.identity])
        with web.connect("240.244.0.3", 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
            name = WorkloadName("shop", "passing-1")
            mesh.workload(name, "passing", ports=[80])
            exchange(connection)
            mesh.remove(ListenerKey(name, "inbound"), ListenerKey(name, "outbound"))
            until(lambda: "passing-1" not in mesh.admin("/listeners"), "the listeners are gone")
            exchange(connection)
            mesh.namespaces.remove(name)
            mesh.workload(name, "passing", ports=[80])
            exchange(connection)

    def test_a_long_connection_survives_changes_of_its_service(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        """Others who may answer, others who do, another certificate."""
        name = "240.244.0.9:9000"
        mesh.tcp_service(name, [catalog.endpoint(9000)], [catalog.identity])
        with web.connect("240.244.0.9", 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
            others = (catalog.identity, SpiffeId(DOMAIN, "shop", "another"))
            for identities in (others, others[:1]):
                mesh.tcp_service(name, [catalog.endpoint(9000)], identities)
                until(mesh.server.in_sync, "the cluster is acknowledged")
                exchange(connection)
            mesh.renew(web.identity)
            mesh.renew(catalog.identity)
            until(mesh.server.in_sync, "the certificates are acknowledged")
            exchange(connection)

    def test_requests_go_on_while_their_service_changes(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("busy", 8080, [catalog.endpoint(8080)], [catalog.identity])
        assert web.request(HTTP_VIP, authority).status == 200
        failed: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                status = web.request(HTTP_VIP, authority, method="POST", body=b"x").status
                if status != 200:
                    failed.append(status)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for turn in range(20):
                others = [SpiffeId(DOMAIN, "shop", f"another{turn}"), catalog.identity]
                mesh.http_service("busy", 8080, [catalog.endpoint(8080)], others)
                mesh.renew(web.identity)
                until(mesh.server.in_sync, "the change is acknowledged")
        finally:
            done.set()
            asking.join()
        assert not failed

    def test_a_long_connection_survives_new_exceptions(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, echo: Echo
    ) -> None:
        mesh.tcp_service("240.244.0.4:9000", [catalog.endpoint(9000)], [catalog.identity])
        key = ListenerKey(web.name, "outbound")
        with web.connect("240.244.0.4", 9000) as connection:
            assert connection.recv(100) == Echo.GREETING
            updates = mesh.stat("listener_manager.listener_in_place_updated")
            exceptions = (CapturedPort(("240.240.0.8",), 9009, "tcp"),)
            mesh.put((key, web.outbound_view(True, exceptions)))
            until(
                lambda: mesh.stat("listener_manager.listener_in_place_updated") == updates + 1,
                "the listener is updated in place",
            )
            until(lambda: mesh.stat("listener_manager.total_filter_chains_draining") == 0, "drained")
            exchange(connection)
        mesh.put((key, web.outbound_view(True, ())))

    def test_the_proxy_serves_on_while_the_agent_is_away_and_keeps_what_it_has(
        self, mesh: Mesh, web: WorkloadInMesh, catalog: WorkloadInMesh, app: App
    ) -> None:
        authority = mesh.http_service("steady", 8080, [catalog.endpoint(8080)], [catalog.identity])
        assert web.request(HTTP_VIP, authority).status == 200
        mesh.server.stop()
        assert web.request(HTTP_VIP, authority).status == 200
        mesh.server.start()
        until(lambda: mesh.server.acknowledged(VirtualHostKey("shop", authority)), "Envoy is back")
        until(mesh.server.in_sync, "Envoy has everything")
        assert web.request(HTTP_VIP, authority).status == 200
        assert not mesh.server.nacks


def received(connection: socket.socket) -> bytes:
    """What comes until the other side closes or resets."""
    data = b""
    try:
        while part := connection.recv(4096):
            data += part
    except ConnectionError:
        pass
    return data


def received_first(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionError:
        return b""


def exchange(connection: socket.socket) -> None:
    connection.sendall(b"ping")
    assert connection.recv(100) == b"ping"


def client_context(mesh: Mesh, svid: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=mesh.authority.bundle_pem)
    if svid is not None:
        load_svid(context, svid, mesh.directory)
    return context


def raw(mesh: Mesh, workload: WorkloadInMesh) -> socket.socket:
    address = ("127.0.0.1", workload.mesh_port)
    return in_namespace(mesh.host, lambda: socket.create_connection(address, timeout=LIMIT))


def dial(mesh: Mesh, workload: WorkloadInMesh, context: ssl.SSLContext, sni: str | None) -> ssl.SSLSocket:
    return context.wrap_socket(raw(mesh, workload), server_hostname=sni)


def said_to(mesh: Mesh, workload: WorkloadInMesh, context: ssl.SSLContext, sni: str | None) -> bytes:
    """What a client gets to read, be it refused in the handshake or after it (TLS 1.3 clients finish first)."""
    try:
        with dial(mesh, workload, context, sni) as connection:
            return received(connection)
    except (ssl.SSLError, ConnectionError):
        return b""
