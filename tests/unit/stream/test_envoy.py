"""A real Envoy on the other end of a delta stream: on demand, warming, refusals, and a server that comes back."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import envoy.extensions.filters.http.on_demand.v3.on_demand_pb2
import envoy.extensions.filters.http.router.v3.router_pb2
import envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from tests.fakes.xds_host import FakeHost, serving
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import PENDING, Acked, Nacked, Subscribed
from tulle.xds.resource import resource
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, ROUTE_CONFIG, VIRTUAL_HOST

ENVOY = Path(sys.executable).with_name("envoy")
ADS = {"ads": {}, "resource_api_version": "V3"}
ROUTES = "client"
MESSAGES: Mapping[str, type[Message]] = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE_CONFIG: route_pb2.RouteConfiguration,
    VIRTUAL_HOST: route_components_pb2.VirtualHost,
}


class Mesh:
    """What one Envoy is told, written as JSON."""

    def __init__(self, host: FakeHost, listen: Path) -> None:
        self.host = host
        self._listen = listen

    def put(self, type_url: str, name: str, content: Mapping[str, object]) -> str:
        message = json_format.ParseDict(content, MESSAGES[type_url]())
        aliases = (name,) if type_url == VIRTUAL_HOST else ()
        made = resource(type_url, name, message.SerializeToString(deterministic=True), aliases)
        self.host.source.resources[type_url, name] = made
        self.host.changed((type_url, name))
        return made.version

    def remove(self, type_url: str, name: str) -> None:
        self.host.source.remove(type_url, name)
        self.host.changed((type_url, name))

    def begin(self) -> None:
        """A listener whose virtual hosts and clusters come on demand."""
        self.host.source.root_names = {LISTENER: ("outbound",), VIRTUAL_HOST: (f"{ROUTES}/placeholder.invalid",)}
        self.virtual_host("placeholder.invalid", None)
        self.put(ROUTE_CONFIG, ROUTES, {"name": ROUTES, "vhds": {"config_source": ADS}})
        manager = {
            "@type": "type.googleapis.com/"
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "outbound",
            "rds": {"route_config_name": ROUTES, "config_source": ADS},
            "http_filters": [
                _filter("on_demand", "OnDemand", {"odcds": {"source": ADS, "timeout": "5s"}}),
                _filter("router", "Router", {}),
            ],
        }
        self.put(
            LISTENER,
            "outbound",
            {
                "name": "outbound",
                "address": {"pipe": {"path": str(self._listen)}},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            },
        )

    def virtual_host(self, authority: str, cluster: str | None) -> str:
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}] if cluster else []
        name = f"{ROUTES}/{authority}"
        return self.put(VIRTUAL_HOST, name, {"name": name, "domains": [authority], "routes": routes})

    def cluster(self, name: str, timeout: str = "1s") -> str:
        eds = {"eds_config": ADS}
        return self.put(
            CLUSTER, name, {"name": name, "type": "EDS", "eds_cluster_config": eds, "connect_timeout": timeout}
        )

    def endpoints(self, name: str, path: Path) -> str:
        endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
        return self.put(ENDPOINTS, name, {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]})


def _filter(name: str, message: str, fields: Mapping[str, object]) -> Mapping[str, object]:
    url = f"type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{message}"
    return {"name": name, "typed_config": {"@type": url, **fields}}


@asynccontextmanager
async def answering(path: Path, text: str) -> AsyncIterator[None]:
    """An application that answers every request with `text`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield


@asynccontextmanager
async def envoy(directory: Path, xds: Path) -> AsyncIterator[None]:
    grpc_service = {
        "envoy_grpc": {"cluster_name": "xds"},
        "retry_policy": {"retry_back_off": {"base_interval": "0.1s"}},
    }
    bootstrap = {
        "node": {"id": "sidecar", "cluster": "test"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [grpc_service],
            },
            "lds_config": ADS,
            "cds_config": ADS,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(xds)}}}}]}],
                    },
                }
            ]
        },
    }
    config = directory / "bootstrap.json"
    config.write_text(json.dumps(bootstrap))
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            ENVOY, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning", stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.kill()
            await process.wait()


async def get(path: Path, authority: str) -> str:
    """Status and body of a request."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(f"GET / HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return f"{head.split()[1].decode()} {body.decode()}"


@pytest.fixture
async def mesh(tmp_path: Path) -> Mesh:
    made = Mesh(FakeHost(FakeSource()), tmp_path / "listen.sock")
    made.begin()
    made.virtual_host("catalog", "catalog")
    made.cluster("catalog")
    made.endpoints("catalog", tmp_path / "one.sock")
    return made


@asynccontextmanager
async def running(mesh: Mesh, directory: Path) -> AsyncIterator[Path]:
    """Envoy with its listener ready, the server and two applications; gives the path to send requests to."""
    listen, xds = directory / "listen.sock", directory / "xds.sock"
    async with (
        serving(mesh.host, f"unix:{xds}"),
        answering(directory / "one.sock", "one"),
        answering(directory / "two.sock", "two"),
        envoy(directory, xds),
    ):
        await until_it_listens(listen)
        yield listen


async def until_it_listens(path: Path) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def test_hosts_and_clusters_come_on_demand_and_change(mesh: Mesh, tmp_path: Path) -> None:
    async with running(mesh, tmp_path) as listen:
        assert await get(listen, "catalog") == "200 one"
        mesh.cluster("backup")
        mesh.endpoints("backup", tmp_path / "two.sock")
        version = mesh.virtual_host("catalog", "backup")
        await mesh.host.until(Acked(VIRTUAL_HOST, {"client/catalog": version}))
        assert await get(listen, "catalog") == "200 two"


async def test_a_changed_cluster_warms_although_its_endpoints_are_unchanged(mesh: Mesh, tmp_path: Path) -> None:
    """Envoy acknowledges the cluster only when it is warm, so the acknowledgement is the proof."""
    async with running(mesh, tmp_path) as listen:
        assert await get(listen, "catalog") == "200 one"
        version = mesh.cluster("catalog", timeout="2s")
        await mesh.host.until(Acked(CLUSTER, {"catalog": version}))
        version = mesh.cluster("catalog", timeout="3s")
        await mesh.host.until(Acked(CLUSTER, {"catalog": version}))
        assert await get(listen, "catalog") == "200 one"


async def test_a_bad_resource_keeps_no_other_back(mesh: Mesh, tmp_path: Path) -> None:
    mesh.virtual_host("other", "catalog")
    mesh.cluster("backup")
    mesh.endpoints("backup", tmp_path / "two.sock")
    async with running(mesh, tmp_path) as listen:
        assert await get(listen, "catalog") == "200 one"
        assert await get(listen, "other") == "200 one"
        bad = mesh.put(VIRTUAL_HOST, "client/catalog", {"name": "client/catalog", "domains": ["catalog", "catalog"]})
        version = mesh.virtual_host("other", "backup")
        await mesh.host.until(Acked(VIRTUAL_HOST, {"client/other": version}))
        assert await get(listen, "other") == "200 two"
        assert await get(listen, "catalog") == "200 one"
        refused = [event for event in mesh.host.events if isinstance(event, Nacked)]
        assert all(event.versions["client/catalog"] == bad for event in refused)
        assert refused[0].message


async def test_a_server_that_comes_back_is_believed(mesh: Mesh, tmp_path: Path) -> None:
    async with running(mesh, tmp_path) as listen:
        assert await get(listen, "catalog") == "200 one"
        mesh.host.streams[0].close()
        await mesh.host.until_closed(1)
        mesh.cluster("backup")
        mesh.endpoints("backup", tmp_path / "two.sock")
        version = mesh.virtual_host("catalog", "backup")
        await mesh.host.until(Acked(VIRTUAL_HOST, {"client/catalog": version}))
        assert await get(listen, "catalog") == "200 two"
        version = mesh.cluster("catalog", timeout="4s")
        await mesh.host.until(Acked(CLUSTER, {"catalog": version}))
        assert not [event for event in mesh.host.events if isinstance(event, Nacked)]


async def test_a_pending_cluster_is_waited_for(mesh: Mesh, tmp_path: Path) -> None:
    async with running(mesh, tmp_path) as listen:
        mesh.host.source.resources[CLUSTER, "catalog"] = PENDING
        request = asyncio.create_task(get(listen, "catalog"))
        await mesh.host.until(Subscribed(CLUSTER, ("catalog",)))
        mesh.cluster("catalog")
        assert await request == "200 one"
