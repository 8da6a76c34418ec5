"""The control-plane process: everything it consists of, and the one task group that all of it runs in."""

import asyncio
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
from msgspec import Struct

from tulle.api.app import create_api
from tulle.api.guard import LOCAL_HOSTS, Access
from tulle.control.admission import AdmittingStore
from tulle.control.backend import ControlBackend
from tulle.control.compile import Compiler
from tulle.control.http import HttpsSettings, Server, on_socket, over_tls
from tulle.control.long_lived import long_lived
from tulle.control.refresh import Refresh
from tulle.control.rejections import Rejections
from tulle.control.reports import Directory, Reports
from tulle.control.streams import Streams
from tulle.identity.ca import Authority, open_authority, server_certificate
from tulle.identity.issuer import Issuer
from tulle.identity.node_service import ENROLMENT_OPTIONS, enrolment_handler, node_handler
from tulle.identity.private_file import lock_alone, make_private_directory
from tulle.identity.server_credentials import enrolment_credentials, mutual_credentials
from tulle.identity.tokens import FileTokenBook
from tulle.model.mesh import MESH_NAME, Mesh, MeshSpec
from tulle.model.metadata import Metadata
from tulle.model.parse import encode_json
from tulle.model.snapshot import EMPTY, Fact, Snapshot
from tulle.store import open_store
from tulle.store.protocol import Put
from tulle.stream.server import SERVER_OPTIONS, XdsService

STOP_GRACE = 2.0


class ControlSettings(Struct, frozen=True):
    """`state_dir` keeps the store and the CA. Addresses are `host:port`; port 0 takes a free one. The API listens on
    `api_socket` (0600) for this user, and where `https` is given for others too. Apps that name no node run on
    `default_node`, if there is one."""

    trust_domain: str
    state_dir: Path
    api_socket: Path
    xds_address: str = "127.0.0.1:15012"
    enrolment_address: str = "127.0.0.1:15011"
    store: str = ""
    default_node: str = ""
    https: HttpsSettings | None = None

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:{self.state_dir / 'tulle.db'}"


class ControlPlane:
    """Assembled from its settings; `serve` runs it. Ports are known once it serves."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self.xds_port = 0
        self.enrolment_port = 0
        make_private_directory(settings.state_dir)
        self.authority: Authority = open_authority(settings.state_dir, settings.trust_domain, _now())
        self._audit_log = settings.state_dir / "audit.log"
        self._audit_log.touch(mode=0o600)
        self.tokens = FileTokenBook(settings.state_dir / "tokens.json")
        self._store = open_store(settings.store_url)
        self._compiler = Compiler(EMPTY)
        self._rejections = Rejections()
        self.streams = Streams(self._compiler, self._rejections, settings.trust_domain, self.tokens.is_enrolled)
        self.refresh = Refresh(self._store, self._publish, settings.trust_domain)
        self._issuer = Issuer(self.authority, self.tokens, Directory(self.refresh, settings.trust_domain), _now)
        self._service = XdsService(self.streams)
        self.backend = ControlBackend(
            AdmittingStore(self._store, lambda: self.refresh.snapshot, settings.default_node),
            self.refresh,
            self._compiler,
            self.streams,
            self._rejections,
            self.authority,
            self.tokens,
            self._issuer.ledger,
            _now,
        )

    async def serve(self, started: asyncio.Event) -> None:
        """Serves until cancelled; sets `started` when it answers. Raises InUse where another one has its socket,
        OSError where its addresses cannot be listened on."""
        lock = lock_alone(self.settings.api_socket.with_name("control.lock"), "a control plane")
        try:
            await self._declare_mesh()
            with long_lived():
                await self.refresh.load()
            servers = await self._grpc_servers()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.refresh.follow(), name="follow the store")
                    tasks.create_task(self.backend.authority_life.run(), name="authority's life")
                    for server, listener in self._http_servers():
                        tasks.create_task(server.serve([listener]), name="api")
                    started.set()
            finally:
                await asyncio.gather(*(server.stop(STOP_GRACE) for server in servers))
        finally:
            await self._store.close()
            self.settings.api_socket.unlink(missing_ok=True)
            os.close(lock)

    async def _declare_mesh(self) -> None:
        """There is a Mesh from the start, with the trust domain of the certificate authority."""
        mesh = Mesh(metadata=Metadata(name=MESH_NAME), spec=MeshSpec(trust_domain=self.settings.trust_domain))
        if await self._store.get(mesh.ref) is None:
            await self._store.write([Put(mesh.ref, encode_json(mesh), expected=0)])

    def _publish(self, snapshot: Snapshot, facts: frozenset[Fact]) -> None:
        self.streams.publish(self._compiler.advance(snapshot, facts))
        self.backend.published(facts)

    async def _grpc_servers(self) -> list[grpc.aio.Server]:
        """Two listeners: who has no certificate yet reaches nothing but enrolment."""
        certificate = server_certificate(self.authority, _now())
        mutual = grpc.aio.server(options=SERVER_OPTIONS)
        reports = Reports(self._store, self.refresh, self._issuer)
        mutual.add_generic_rpc_handlers((self._service.handler, node_handler(self._issuer, reports.take)))
        self.xds_port = _listen(mutual, self.settings.xds_address, mutual_credentials(certificate))
        enrolment = grpc.aio.server(options=ENROLMENT_OPTIONS)
        enrolment.add_generic_rpc_handlers((enrolment_handler(self._issuer),))
        self.enrolment_port = _listen(enrolment, self.settings.enrolment_address, enrolment_credentials(certificate))
        for server in (mutual, enrolment):
            await server.start()
        return [mutual, enrolment]

    def _http_servers(self) -> Iterator[tuple[Server, socket.socket]]:
        app = create_api(self.backend, Access(token=None), self._audit)
        yield on_socket(app, self.settings.api_socket)
        https = self.settings.https
        if https is not None:
            access = Access(https.token, LOCAL_HOSTS | {https.host})
            yield over_tls(create_api(self.backend, access, self._audit), https)

    def _audit(self, line: str) -> None:
        with self._audit_log.open("a", encoding="utf-8") as log_file:
            log_file.write(line + "\n")


def _listen(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """The port. Raises OSError where there can be no listener."""
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"{address} cannot be listened on; is it in use?") from error


def _now() -> datetime:
    return datetime.now(UTC)
