"""A control plane's identity end on loopback ports, with a clock that the test moves."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from tulle.identity import ca
from tulle.identity.issuer import Issuer, RegisteredWorkload
from tulle.identity.messages import ReportReply, ReportRequest
from tulle.identity.node_service import ENROLMENT_OPTIONS, enrolment_handler, node_handler
from tulle.identity.server_credentials import enrolment_credentials, mutual_credentials
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import FileTokenBook, JoinToken, new_token, parse_rule
from tulle.model.names import WorkloadName
from tulle.model.problem import Problem

DAY = timedelta(days=1)


class Clock:
    """Starts at the real time, which is what gRPC checks certificates by."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class Directory:
    """The workloads that nodes have reported."""

    def __init__(self) -> None:
        self.workloads: dict[WorkloadName, RegisteredWorkload] = {}

    async def workload(self, name: WorkloadName) -> RegisteredWorkload | None:
        return self.workloads.get(name)


class ControlPlane:
    """Both listeners, and everything behind them in reach of the test."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.authority = ca.new_authority("mesh.local", self.clock() - DAY)
        self.book = FileTokenBook(directory / "control" / "tokens.json")
        self.directory = Directory()
        self.issuer = Issuer(self.authority, self.book, self.directory, self.clock)
        self.reports: list[tuple[NodeIdentity, ReportRequest]] = []
        self.held: asyncio.Event | None = None
        self.error: Exception | None = None
        self.reached = asyncio.Event()
        self.enrolment = self.nodes = ""
        self._servers: list[grpc.aio.Server] = []

    async def token(self, node: str = "n1", rules: tuple[str, ...] = ("shop/*",), life: timedelta = DAY) -> JoinToken:
        accounts = tuple(parse_rule(rule) for rule in rules)
        token, ticket = new_token(node, accounts, self.clock() + life, self.authority.pin)
        await self.book.add(ticket, self.clock())
        return token

    async def report(self, node: NodeIdentity, request: ReportRequest) -> ReportReply:
        """Answers at once, or when the test sets `held`; raises `error` where there is one."""
        self.reports.append((node, request))
        if self.error is not None:
            raise self.error
        self.reached.set()
        if self.held is not None:
            await self.held.wait()
        return ReportReply((Problem("spec.ports", "none"),))

    async def start(self) -> None:
        certificate = ca.server_certificate(self.authority, self.clock())
        self.enrolment = await self._listen(
            enrolment_handler(self.issuer), enrolment_credentials(certificate), ENROLMENT_OPTIONS
        )
        self.nodes = await self._listen(node_handler(self.issuer, self.report), mutual_credentials(certificate))

    async def _listen(
        self,
        handler: grpc.GenericRpcHandler,
        credentials: grpc.ServerCredentials,
        options: Sequence[tuple[str, int]] = (),
    ) -> str:
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers([handler])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self._servers.append(server)
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop(None) for server in self._servers))
