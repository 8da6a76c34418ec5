"""The gRPC adapter over real sockets: a unix socket, and mutual TLS on loopback."""

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from tests.fakes.xds_host import FakeHost, serving
from tests.fakes.xds_source import FakeSource

from tulle.stream.protocol import Acked, Limits, Nacked, Oversized, Subscribed
from tulle.stream.server import SERVICE
from tulle.xds.type_urls import CLUSTER, LISTENER

SPIFFE_ID = "spiffe://example.org/tulle/node/a"
DELTA = f"/{SERVICE}/DeltaAggregatedResources"
SOTW = f"/{SERVICE}/StreamAggregatedResources"
SECONDS = 60
NODE = base_pb2.Node(id="node~a")


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
async def host(source: FakeSource) -> FakeHost:
    return FakeHost(source)


@pytest.fixture
async def channel(host: FakeHost, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    address = f"unix:{tmp_path}/xds.sock"
    async with serving(host, address), grpc.aio.insecure_channel(address) as opened:
        yield opened


def delta(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall:
    return channel.stream_stream(
        DELTA,
        request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
    )(timeout=SECONDS)


def ask(type_url: str, *names: str, node: base_pb2.Node | None = NODE) -> discovery_pb2.DeltaDiscoveryRequest:
    return discovery_pb2.DeltaDiscoveryRequest(node=node, type_url=type_url, resource_names_subscribe=names)


class TestDelta:
    async def test_a_resource_is_sent_acknowledged_and_changed(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        version = source.put(CLUSTER, "a")
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        first = await call.read()
        assert [resource.name for resource in first.resources] == ["a"]
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
        await host.until(Acked(CLUSTER, {"a": version}))
        (stream,) = host.streams
        assert (stream.node.id, stream.peer.spiffe_id) == ("node~a", None)
        assert stream.in_sync and stream.acknowledged(CLUSTER) == {"a": version}
        assert stream.subscriptions(CLUSTER) == {"a"}
        version = source.put(CLUSTER, "a", "2")
        host.changed((CLUSTER, "a"))
        second = await call.read()
        assert second.resources[0].version == version
        call.cancel()
        await host.until_closed(1)

    async def test_roots_may_change(self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel) -> None:
        call = delta(channel)
        await call.write(ask(LISTENER))
        empty = await call.read()
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=LISTENER, response_nonce=empty.nonce))
        await host.until(Acked(LISTENER, {}))
        source.put(LISTENER, "a")
        source.root_names[LISTENER] = ("a",)
        host.streams[0].roots_changed(LISTENER)
        assert [resource.name for resource in (await call.read()).resources] == ["a"]

    async def test_a_refusal_reaches_the_host(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        version = source.put(CLUSTER, "a")
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=(await call.read()).nonce)
        request.error_detail.message = "bad"
        await call.write(request)
        await host.until(Nacked(CLUSTER, {"a": version}, "bad"))

    async def test_what_fits_no_response_reaches_the_host(
        self, source: FakeSource, host: FakeHost, tmp_path: Path
    ) -> None:
        version = source.put(CLUSTER, "a", "x" * 1_000)
        size = len(source.resources[CLUSTER, "a"].wire)
        address = f"unix:{tmp_path}/small.sock"
        async with (
            serving(host, address, Limits(response_bytes=500)),
            grpc.aio.insecure_channel(address) as opened,
        ):
            call = delta(opened)
            await call.write(ask(CLUSTER, "a"))
            await host.until(Oversized(CLUSTER, "a", version, size))

    async def test_many_streams_are_told_apart(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        source.put(CLUSTER, "a")
        calls = [delta(channel) for _ in range(20)]
        for number, call in enumerate(calls):
            await call.write(ask(CLUSTER, "a", node=base_pb2.Node(id=f"n{number}")))
        responses = [await call.read() for call in calls]
        assert len({response.nonce for response in responses}) == 20
        assert {stream.node.id for stream in host.streams} == {f"n{number}" for number in range(20)}

    async def test_who_never_reads_holds_up_nobody(self, source: FakeSource, host: FakeHost, tmp_path: Path) -> None:
        names = tuple(f"c{number}" for number in range(20))
        for name in names:
            source.put(CLUSTER, name, "x" * 500_000)
        address = f"unix:{tmp_path}/deaf.sock"
        apart = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own
        async with (
            serving(host, address),
            grpc.aio.insecure_channel(address, apart) as one,
            grpc.aio.insecure_channel(address, apart) as two,
        ):
            deaf, hears = delta(one), delta(two)
            await deaf.write(ask(CLUSTER, *names))
            await host.until(Subscribed(CLUSTER, names))
            await hears.write(ask(CLUSTER, "c0"))
            first = await hears.read()
            await hears.write(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
            for content in "abcde":
                version = source.put(CLUSTER, "c0", content)
                host.changed((CLUSTER, "c0"))
                received = await hears.read()
                assert [resource.version for resource in received.resources] == [version]
                await hears.write(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=received.nonce))

    async def test_a_client_that_hangs_up_is_gone(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        source.put(CLUSTER, "a")
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        await call.read()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await host.until_closed(1)


class TestRefusals:
    async def test_a_first_request_without_a_node(self, host: FakeHost, channel: grpc.aio.Channel) -> None:
        call = delta(channel)
        await call.write(ask(CLUSTER, "a", node=None))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert host.streams == []

    async def test_a_stream_without_a_request(self, host: FakeHost, channel: grpc.aio.Channel) -> None:
        call = delta(channel)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        assert host.closed_streams == 0

    async def test_the_host_refuses(self, host: FakeHost, channel: grpc.aio.Channel) -> None:
        host.refusal = "no such proxy"
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await call.details() == "no such proxy"
        assert host.closed_streams == 0

    async def test_the_client_breaks_the_protocol(self, host: FakeHost, channel: grpc.aio.Channel) -> None:
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        await call.read()
        await call.write(ask("", "a"))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "a request without type_url"
        await host.until_closed(1)

    async def test_a_peer_has_only_so_many_streams(self, source: FakeSource, host: FakeHost, tmp_path: Path) -> None:
        source.put(CLUSTER, "a")
        address = f"unix:{tmp_path}/few.sock"
        async with serving(host, address, Limits(streams=2)), grpc.aio.insecure_channel(address) as opened:
            served = [delta(opened) for _ in range(2)]
            for call in served:
                await call.write(ask(CLUSTER, "a"))
                await call.read()
            refused = delta(opened)
            await refused.write(ask(CLUSTER, "a"))
            assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            served[0].cancel()
            await host.until_closed(1)
            again = delta(opened)
            await again.write(ask(CLUSTER, "a"))
            assert [resource.name for resource in (await again.read()).resources] == ["a"]

    async def test_a_peer_without_a_certificate(self, host: FakeHost) -> None:
        async with serving(host, "127.0.0.1:0") as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await delta(channel).code() is grpc.StatusCode.UNAUTHENTICATED


class TestSotw:
    async def test_a_set_is_sent_and_acknowledged(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        version = source.put(LISTENER, "a")
        call = channel.stream_stream(
            SOTW,
            request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
        )(timeout=SECONDS)
        await call.write(discovery_pb2.DiscoveryRequest(node=NODE, type_url=LISTENER, resource_names=["a"]))
        received = await call.read()
        assert [resource.value for resource in received.resources] == [b"1"]
        await call.write(
            discovery_pb2.DiscoveryRequest(
                type_url=LISTENER,
                resource_names=["a"],
                version_info=received.version_info,
                response_nonce=received.nonce,
            )
        )
        await host.until(Acked(LISTENER, {"a": version}))


async def waiting(source: FakeSource, host: FakeHost, channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall:
    """The stream of a client that has asked for what is not known yet."""
    source.pend(CLUSTER, "a")
    call = delta(channel)
    await call.write(ask(CLUSTER, "a"))
    await host.until(Subscribed(CLUSTER, ("a",)))
    return call


class TestClosing:
    async def test_a_closed_stream_ends_in_order_after_what_there_was_to_send(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        source.put(CLUSTER, "a")
        call = delta(channel)
        await call.write(ask(CLUSTER, "a"))
        await call.read()
        source.put(LISTENER, "l")
        host.streams[0].close()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await host.until_closed(1)

    async def test_a_stream_that_was_sent_nothing_is_sent_something_first(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        """Or gRPC clients would take the end of the stream for a failure (gRFC A57)."""
        call = await waiting(source, host, channel)
        host.streams[0].close()
        source.put(CLUSTER, "a")
        host.changed((CLUSTER, "a"))
        assert [resource.name for resource in (await call.read()).resources] == ["a"]
        assert await call.read() is grpc.aio.EOF

    async def test_a_stream_that_is_refused_ends_at_once_and_is_told_why(
        self, source: FakeSource, host: FakeHost, channel: grpc.aio.Channel
    ) -> None:
        call = await waiting(source, host, channel)
        for _ in range(2):
            host.streams[0].refuse("node n1 has been removed")
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await call.details() == "node n1 has been removed"
        await host.until_closed(1)


class TestMutualTls:
    async def test_the_peer_is_the_spiffe_id_of_its_certificate(self, source: FakeSource, host: FakeHost) -> None:
        source.put(CLUSTER, "a")
        authority = Authority()
        async with authority.serving(host) as address, authority.channel(address, [SPIFFE_ID]) as channel:
            call = delta(channel)
            await call.write(ask(CLUSTER, "a"))
            await call.read()
            (stream,) = host.streams
            assert stream.peer.spiffe_id == SPIFFE_ID
            assert stream.peer.expires == authority.expires

    @pytest.mark.parametrize("uris", [[], ["https://example.org/a"], [SPIFFE_ID, "spiffe://example.org/b"]])
    async def test_a_certificate_without_exactly_one_spiffe_id_is_nobody(self, host: FakeHost, uris: list[str]) -> None:
        authority = Authority()
        async with authority.serving(host) as address, authority.channel(address, uris) as channel:
            assert await delta(channel).code() is grpc.StatusCode.UNAUTHENTICATED
            assert host.streams == []

    async def test_a_certificate_of_another_authority_gets_no_stream(self, host: FakeHost) -> None:
        authority = Authority()
        async with (
            authority.serving(host) as address,
            Authority().channel(address, [SPIFFE_ID], trusts=authority) as channel,
        ):
            assert await delta(channel).code() is grpc.StatusCode.UNAVAILABLE
            assert host.streams == []


class Authority:
    """A certificate authority, and a server and clients with its certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.expires = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(hours=1)
        self.certificate = self._sign(self._key, None)

    @asynccontextmanager
    async def serving(self, host: FakeHost) -> AsyncIterator[str]:
        key, chain = self._leaf([x509.DNSName("localhost")])
        credentials = grpc.ssl_server_credentials(
            [(key, chain)], root_certificates=pem(self.certificate), require_client_auth=True
        )
        async with serving(host, "127.0.0.1:0", credentials=credentials) as port:
            yield f"127.0.0.1:{port}"

    @asynccontextmanager
    async def channel(
        self, address: str, uris: list[str], trusts: "Authority | None" = None
    ) -> AsyncIterator[grpc.aio.Channel]:
        key, chain = self._leaf([x509.UniformResourceIdentifier(uri) for uri in uris] or [x509.DNSName("x")])
        credentials = grpc.ssl_channel_credentials(pem((trusts or self).certificate), key, chain)
        options = (("grpc.ssl_target_name_override", "localhost"),)
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            yield channel

    def _leaf(self, names: list[x509.GeneralName]) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, pem(self._sign(key, names))

    def _sign(self, key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName] | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(issuer if names is None else x509.Name([]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(self.expires)
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return builder.sign(self._key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
