"""A real Envoy serves mutual TLS with Tulle's secrets and lets nobody else in."""

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.filters.network.echo.v3 import echo_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from tulle.identity import ca
from tulle.identity.keypair import key_pem, new_key, signing_request
from tulle.identity.sds import certificate_secret, trust_bundle_secret
from tulle.identity.spiffe_id import Identity
from tulle.identity.svid import certified
from tulle.model.names import SpiffeId
from tulle.xds.names import TRUST_BUNDLE

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
CART, WEB = SpiffeId("mesh.local", "shop", "cart"), SpiffeId("mesh.local", "shop", "web")
AUTHORITY = ca.new_authority("mesh.local", NOW - HOUR)
STRANGER = ca.new_authority("mesh.local", NOW - HOUR)
ELSEWHERE = ca.new_authority("other.local", NOW - HOUR)


def bootstrap(admin: Path) -> bootstrap_pb2.Bootstrap:
    key = new_key()
    leaf = ca.sign(signing_request(key), CART, NOW, HOUR, AUTHORITY)
    secrets = (
        certificate_secret(certified(key, ca.pem(leaf), CART, AUTHORITY.bundle_pem)),
        trust_bundle_secret("mesh.local", AUTHORITY.bundle_pem),
    )
    context = tls_pb2.DownstreamTlsContext()
    context.require_client_certificate.value = True
    context.common_tls_context.tls_certificate_sds_secret_configs.add(name=str(CART))
    context.common_tls_context.validation_context_sds_secret_config.name = TRUST_BUNDLE
    message = bootstrap_pb2.Bootstrap()
    message.static_resources.secrets.extend(secret_pb2.Secret.FromString(secret.body) for secret in secrets)
    listener = message.static_resources.listeners.add(name="mesh")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    chain = listener.filter_chains.add()
    chain.filters.add(name="envoy.filters.network.echo").typed_config.Pack(echo_pb2.Echo())
    chain.transport_socket.name = "envoy.transport_sockets.tls"
    chain.transport_socket.typed_config.Pack(context)
    message.admin.address.pipe.path = str(admin)
    return message


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    (tmp_path / "envoy.pb").write_bytes(bootstrap(tmp_path / "admin").SerializeToString())
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("envoy"),
        *("-c", tmp_path / "envoy.pb", "--concurrency", "1", "--use-dynamic-base-id", "-l", "info"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            assert process.stderr
            while b"starting main dispatch loop" not in (line := await process.stderr.readline()):
                assert line, "Envoy ended"
        yield await listening(tmp_path / "admin")
    finally:
        process.terminate()
        await process.wait()


async def listening(admin: Path) -> int:
    reader, writer = await asyncio.open_unix_connection(str(admin))
    writer.write(b"GET /listeners HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    match = re.search(r"mesh::127\.0\.0\.1:(\d+)", answer)
    assert match, answer
    return int(match[1])


async def served(port: int, directory: Path, key: ec.EllipticCurvePrivateKey | None, chain: str = "") -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=AUTHORITY.bundle_pem)
    if key:
        (directory / "client.pem").write_bytes(key_pem(key).reveal() + chain.encode())
        context.load_cert_chain(directory / "client.pem")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"hello")
        answer = await reader.read(5)
        writer.close()
    except (ssl.SSLError, ConnectionError):
        return False
    return answer == b"hello"


def leaf(key: ec.EllipticCurvePrivateKey, identity: Identity, issuer: ca.Authority, issued: datetime = NOW) -> str:
    return ca.pem(ca.sign(signing_request(key), identity, issued, timedelta(minutes=10), issuer))


def self_signed(key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(WEB))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - HOUR, NOW + HOUR)
    return ca.pem(builder.add_extension(names, critical=False).sign(key, hashes.SHA256()))


async def test_only_certificates_of_the_mesh_are_served(port: int, tmp_path: Path):
    key = new_key()
    clients = {
        "workload": (key, leaf(key, WEB, AUTHORITY)),
        "none": (None, ""),
        "another CA": (key, leaf(key, WEB, STRANGER)),
        "another CA, which it sends along": (key, leaf(key, WEB, STRANGER) + STRANGER.bundle_pem),
        "another trust domain": (key, leaf(key, SpiffeId("other.local", "shop", "web"), ELSEWHERE)),
        "expired": (key, leaf(key, WEB, AUTHORITY, NOW - timedelta(minutes=30))),
        "self-signed": (key, self_signed(key)),
        "the CA itself": (AUTHORITY.key, AUTHORITY.bundle_pem),
        "workload again": (key, leaf(key, WEB, AUTHORITY)),
    }
    results = {name: await served(port, tmp_path, *client) for name, client in clients.items()}
    assert results == {name: name in ("workload", "workload again") for name in clients}
