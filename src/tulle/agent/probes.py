"""Carries out the probes of an application."""

import asyncio
import socket
import tempfile
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc
import h11
from grpc_health.v1 import health_pb2

from tulle.agent.capture.process import LaunchError
from tulle.agent.capture.splice import Connection, splice
from tulle.view.types import ExecProbeView, GrpcProbeView, HttpProbeView, ProbeView, TcpProbeView

_MAX_READ = 64 * 1024


Dial: TypeAlias = Callable[[int], Awaitable[socket.socket]]
"""A connection to a port of the application. Raises OSError."""

Run: TypeAlias = Callable[[tuple[str, ...]], Awaitable[bool]]
"""Whether a command beside the application succeeds. Raises LaunchError."""


class Prober:
    """Probes of one workload, which it reaches by `dial` and `run`."""

    def __init__(self, dial: Dial, run: Run) -> None:
        self._dial = dial
        self._run = run

    async def check(self, probe: ProbeView) -> bool:
        """Whether the probe succeeds within its timeout. What cannot be reached fails; nothing is raised."""
        try:
            async with asyncio.timeout(probe.timeout):
                return await self._succeeds(probe)
        except (OSError, TimeoutError, h11.ProtocolError, grpc.aio.AioRpcError, LaunchError):
            return False

    async def _succeeds(self, probe: ProbeView) -> bool:
        match probe.check:
            case TcpProbeView(port):
                (await self._dial(port)).close()
                return True
            case HttpProbeView():
                return await self._http(probe.check)
            case GrpcProbeView():
                return await self._grpc(probe.check)
            case ExecProbeView(command):
                return await self._run(command)

    async def _http(self, probe: HttpProbeView) -> bool:
        """GET; a status from 200 to 399 is success, as Kubernetes has it."""
        reader, writer = await asyncio.open_connection(sock=await self._dial(probe.port))
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("Host", f"localhost:{probe.port}"), ("User-Agent", "tulle-probe"), ("Connection", "close")]
            request = h11.Request(method="GET", target=probe.path, headers=headers)
            writer.write(connection.send(request) + connection.send(h11.EndOfMessage()))
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(_MAX_READ))
                elif not isinstance(event, h11.InformationalResponse):
                    return False
            return 200 <= event.status_code < 400
        finally:
            writer.transport.abort()

    async def _grpc(self, probe: GrpcProbeView) -> bool:
        """The gRPC health protocol. gRPC takes addresses, not sockets: it comes in by a socket file of this probe's."""
        with tempfile.TemporaryDirectory(prefix="tulle-probe-") as directory:
            path = f"{directory}/grpc.sock"
            server = await asyncio.start_unix_server(lambda r, w: self._carry(Connection(r, w), probe.port), path)
            async with server, grpc.aio.insecure_channel(f"unix:{path}") as channel:
                check = channel.unary_unary(
                    "/grpc.health.v1.Health/Check",
                    request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                    response_deserializer=health_pb2.HealthCheckResponse.FromString,
                )
                reply = await check(health_pb2.HealthCheckRequest(service=probe.service))
                return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def _carry(self, near: Connection, port: int) -> None:
        try:
            far = Connection(*await asyncio.open_connection(sock=await self._dial(port)))
        except OSError:
            near.abort()
            return
        await splice(near, far)
