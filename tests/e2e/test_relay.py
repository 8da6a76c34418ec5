"""A real Envoy behind the relay keeps serving whatever of the control plane, the agent and itself goes away."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from tests.fakes.xds_source import FakeSource

from tulle.agent.envoy_binary import find
from tulle.agent.envoy_command import EnvoyCommand
from tulle.agent.link import UpstreamSettings
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.proxy_keeper import ProxyStatus, SuperviseLimits
from tulle.agent.relay import Relay
from tulle.agent.restart_policy import RestartLimits
from tulle.agent.supervise import Supervisor
from tulle.model.keys import ClusterKey
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName
from tulle.stream.client import CLIENT_OPTIONS
from tulle.stream.protocol import ABSENT, Absent, Event, Nacked
from tulle.stream.server import SERVER_OPTIONS, Stream, XdsService
from tulle.view.types import Backend, Forward, PathMatch, RouteConfigView, RouteMatch, RouteView, VirtualHostView
from tulle.xds.bootstrap import ProxySettings, bootstrap
from tulle.xds.http_connection import outbound
from tulle.xds.packing import packed
from tulle.xds.resource import Resource, resource
from tulle.xds.sources import ads
from tulle.xds.translate import translate
from tulle.xds.type_urls import CLUSTER, ENDPOINTS, LISTENER, SECRET, VIRTUAL_HOST

pytestmark = pytest.mark.e2e

PROXY = ProxyId("n1", WorkloadName("shop", "web-1"))
LIMITS = SuperviseLimits(restart=RestartLimits(first_delay=0.1, longest_delay=1), probe_every=0.5)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short, for the sockets' paths. Ends what is left of the test's proxies, by what their directories say."""
    path = Path(tempfile.mkdtemp(prefix="tulle-", dir="/tmp"))
    yield path
    for state in path.glob("proxies/*/process.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(state.read_text())["process"]["pid"], signal.SIGKILL)
    shutil.rmtree(path)


class ControlPlane:
    """A control plane whose resources are set by hand, on a unix socket."""

    def __init__(self, socket: Path) -> None:
        self.source = FakeSource()
        self.events: list[Event] = []
        self._socket = socket
        self._streams: set[Stream] = set()
        self._server: grpc.aio.Server | None = None

    def open(self, stream: Stream) -> FakeSource:
        assert stream.node.id == str(PROXY)
        self._streams.add(stream)
        return self.source

    def event(self, stream: Stream, event: Event) -> None:
        assert event.type_url != SECRET
        self.events.append(event)

    def closed(self, stream: Stream) -> None:
        self._streams.discard(stream)

    def put(self, made: Resource) -> None:
        self.source.resources[made.type_url, made.name] = made
        for stream in self._streams:
            stream.changed([(made.type_url, made.name)])

    async def start(self) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((XdsService(self).handler,))
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
            self._socket.unlink(missing_ok=True)


class NoSecrets:
    def get(self, proxy: ProxyId, name: str) -> Absent:
        return ABSENT


class Agent:
    """A supervisor and a relay for one proxy."""

    def __init__(self, run_dir: Path) -> None:
        self.xds = run_dir / "xds.sock"
        channel = grpc.aio.insecure_channel(f"unix:{run_dir}/control.sock", options=CLIENT_OPTIONS)
        self._channel = channel
        self.relay = Relay(run_dir / "cache", UpstreamSettings(lambda: channel, random.random), NoSecrets())

        def bootstrap_of(proxy: ProxyId) -> bytes:
            admin = ProxyDirectory.of(run_dir, proxy).admin
            return bootstrap(ProxySettings(proxy, xds_socket=str(self.xds), admin_socket=str(admin)))

        self.supervisor = Supervisor(run_dir, EnvoyCommand(find({}).path, bootstrap_of, drain_seconds=1), LIMITS)

    async def run(self) -> None:
        self.relay.want({PROXY})
        self.supervisor.want({PROXY})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.relay.run(self.xds))
            tasks.create_task(self.supervisor.run())

    async def proxy(self, holds: Callable[[ProxyStatus], bool]) -> ProxyStatus:
        async with asyncio.timeout(30):
            while True:
                for found in self.supervisor.statuses():
                    if holds(found):
                        return found
                await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._channel.close()


@contextlib.asynccontextmanager
async def agent_at(run_dir: Path) -> AsyncIterator[Agent]:
    agent = Agent(run_dir)
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.wait([running])
        await agent.close()


class World:
    """A service of one instance, a control plane that knows it, and a listener for its clients."""

    def __init__(self, run_dir: Path, port: int, backend: int) -> None:
        self.port = port
        self.control = ControlPlane(run_dir / "control.sock")
        self._backend = backend
        self.control.source.root_names = {LISTENER: ("web",), VIRTUAL_HOST: ("shop/placeholder.invalid",)}
        self.control.put(self.listener())
        self.control.put(translate(RouteConfigView("shop")))
        self.control.put(translate(VirtualHostView("shop", "placeholder.invalid", ())))

    def listener(self, filter_name: str = "http") -> Resource:
        made = Listener(name="web")
        made.address.socket_address.address = "127.0.0.1"
        made.address.socket_address.port_value = self.port
        made.filter_chains.add().filters.add(name=filter_name).typed_config.CopyFrom(packed(outbound("shop")))
        return resource(LISTENER, "web", made.SerializeToString(deterministic=True))

    def bad_listener(self) -> Resource:
        made = Listener.FromString(self.listener().body)
        made.filter_chains[0].filters[0].typed_config.type_url = "type.googleapis.com/no.such.Filter"
        return resource(LISTENER, "web", made.SerializeToString(deterministic=True))

    def add_service(self, name: str) -> None:
        key = ClusterKey(ServicePort(ServiceName("shop", name), 80))
        cluster = Cluster(name=str(key.port), type=Cluster.EDS)
        cluster.eds_cluster_config.eds_config.CopyFrom(ads())
        endpoints = ClusterLoadAssignment(cluster_name=str(key.port))
        address = endpoints.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = "127.0.0.1", self._backend
        route = RouteView("all", RouteMatch(PathMatch("prefix", "/")), Forward((Backend(key, 1),)))
        self.control.put(resource(CLUSTER, cluster.name, cluster.SerializeToString(deterministic=True)))
        self.control.put(resource(ENDPOINTS, cluster.name, endpoints.SerializeToString(deterministic=True)))
        self.control.put(translate(VirtualHostView("shop", name, (route,))))

    async def call(self, host: str) -> tuple[int, str]:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}/", headers={"host": host})
            return answer.status_code, answer.text

    async def up(self, host: str) -> None:
        """Waits until the listener is open and the service answers."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await self.call(host)) == SERVED:
                        return
                await asyncio.sleep(0.05)


SERVED = (200, "served")


@pytest.fixture
async def world(run_dir: Path) -> AsyncIterator[World]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved")
        writer.close()

    backend = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = World(run_dir, free_port(), backend.sockets[0].getsockname()[1])
    made.add_service("catalog")
    await made.control.start()
    yield made
    await made.control.stop()
    backend.close()


async def test_a_first_call_goes_through_and_everything_is_acknowledged(run_dir: Path, world: World) -> None:
    world.control.put(translate(VirtualHostView("shop", "unheard-of", ())))
    async with agent_at(run_dir) as agent:
        await world.up("catalog")
        assert (await world.call("unheard-of"))[0] == 404
        await agent.until(lambda: agent.relay.statuses()[0].in_sync)
        status = agent.relay.statuses()[0]
        assert (status.connected, status.upstream, status.refusals) == (True, True, ())
        assert (run_dir / "xds.sock").stat().st_mode & 0o777 == 0o600
        await agent.supervisor.stop_all()


async def test_control_plane_away_the_known_is_served_and_the_unknown_fails_clearly(
    run_dir: Path, world: World
) -> None:
    async with agent_at(run_dir) as agent:
        await world.up("catalog")
        world.add_service("cart")
        await world.control.stop()
        assert await world.call("catalog") == SERVED
        status, text = await world.call("cart")
        assert status == 503
        assert "the control plane is away and this node has not called cart before" in text
        await world.control.start()
        await world.up("cart")
        assert await world.call("catalog") == SERVED
        await agent.supervisor.stop_all()


async def test_control_plane_away_a_new_envoy_is_served_from_the_cache(run_dir: Path, world: World) -> None:
    async with agent_at(run_dir) as agent:
        await world.up("catalog")
        first = await agent.proxy(lambda s: s.phase == "live")
        await world.control.stop()
        os.kill(first.pid or 0, signal.SIGKILL)
        second = await agent.proxy(lambda s: s.phase == "live" and s.pid != first.pid)
        assert second.restarts == 1
        await world.up("catalog")
        await agent.supervisor.stop_all()


AGENT = """
import asyncio, sys
from pathlib import Path
from tests.e2e.test_relay import Agent
async def main():
    await Agent(Path(sys.argv[1])).run()
asyncio.run(main())
"""


async def test_a_killed_agent_is_replaced_and_nothing_else_is(run_dir: Path, world: World) -> None:
    """The control plane goes away with it; then Envoy dies too: the cache has everything."""
    root = str(Path(__file__).parents[2])
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AGENT, str(run_dir)), cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    await world.up("catalog")
    cache = run_dir / "cache" / "sidecar~n1~shop~web-1.xds"
    async with asyncio.timeout(30):
        while not cache.exists() or b"catalog.shop:80" not in cache.read_bytes():
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    os.kill(killed.pid, signal.SIGKILL)
    await killed.wait()
    await world.control.stop()
    assert await world.call("catalog") == SERVED
    pid = json.loads(ProxyDirectory.of(run_dir, PROXY).state.read_text())["process"]["pid"]
    async with agent_at(run_dir) as agent:
        adopted = await agent.proxy(lambda s: s.phase == "live")
        assert (adopted.pid, adopted.adopted) == (pid, True)
        await agent.until(lambda: agent.relay.statuses()[0].in_sync)
        assert await world.call("catalog") == SERVED
        os.kill(pid, signal.SIGKILL)
        await agent.proxy(lambda s: s.phase == "live" and s.pid != pid)
        await world.up("catalog")
        world.add_service("cart")
        await world.control.start()
        await world.up("cart")
        await agent.supervisor.stop_all()


async def test_an_invalid_listener_is_refused_and_the_last_good_one_stays(run_dir: Path, world: World) -> None:
    async with agent_at(run_dir) as agent:
        await world.up("catalog")
        world.control.put(world.bad_listener())
        await agent.until(lambda: any(isinstance(event, Nacked) for event in world.control.events))
        (refusal,) = [event for event in world.control.events if isinstance(event, Nacked)]
        assert (refusal.type_url, refusal.culprit) == (LISTENER, "web")
        assert "no.such.Filter" in refusal.message
        assert agent.relay.statuses()[0].refusals == ((LISTENER, "web", refusal.message),)
        assert await world.call("catalog") == SERVED
        first = await agent.proxy(lambda s: s.phase == "live")
        os.kill(first.pid or 0, signal.SIGKILL)
        await agent.proxy(lambda s: s.phase == "live" and s.pid != first.pid)
        await world.up("catalog")
        world.control.put(world.listener("renamed"))
        await agent.until(lambda: agent.relay.statuses()[0].refusals == ())
        await world.up("catalog")
        await agent.supervisor.stop_all()
