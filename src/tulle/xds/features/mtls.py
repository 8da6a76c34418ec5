"""Mutual TLS between proxies: TLS 1.3 only, certificates over the stream, no session that outlives a change of trust.

Everything fails closed: without a certificate, a bundle or anybody to trust there is no connection.
"""

from collections.abc import Iterable
from typing import Final

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from tulle.model.names import SpiffeId
from tulle.xds.declared import BY_FILTER_STATE, BY_NAME, ON_DEMAND, FilterStateOverride, OnDemandSecret, StaticName
from tulle.xds.names import NO_IDENTITY, TRUST_BUNDLE
from tulle.xds.packing import extension, transport_socket
from tulle.xds.sources import ads

_TLS: Final = "envoy.transport_sockets.tls"
# An empty list of names would mean that every name is good.
_NOBODY: Final = "spiffe://nobody.invalid/"


def server(identity: SpiffeId) -> TransportSocket:
    """The mesh address of a workload: shows its certificate, lets in whoever has one of the same trust domain."""
    same_domain = StringMatcher(prefix=f"spiffe://{identity.trust_domain}/ns/")
    context = DownstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_tls13(),
            custom_tls_certificate_selector=_selector(extension(BY_NAME, StaticName(name=str(identity)))),
            combined_validation_context=_trusted([same_domain]),
        ),
        require_client_certificate=BoolValue(value=True),
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return transport_socket(_TLS, context)


def client(servers: Iterable[SpiffeId]) -> TransportSocket:
    """Calls one of `servers` as whoever the captured connection is from (`identity.caller`)."""
    names = [StringMatcher(exact=str(server)) for server in servers] or [StringMatcher(exact=_NOBODY)]
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_tls13(),
            custom_tls_certificate_selector=_selector(_by_caller()),
            combined_validation_context=_trusted(names),
        ),
        auto_host_sni=True,
        max_session_keys=UInt32Value(value=0),
    )
    return transport_socket(_TLS, context)


def prefetch(identities: Iterable[SpiffeId]) -> TransportSocket:
    """Never used to connect: makes the certificates ready for every upstream."""
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=_tls13(),
            custom_tls_certificate_selector=_selector(_by_caller(), map(str, identities)),
            combined_validation_context=_trusted([StringMatcher(exact=_NOBODY)]),
        ),
        max_session_keys=UInt32Value(value=0),
    )
    return transport_socket(_TLS, context)


def _selector(mapper: TypedExtensionConfig, prefetched: Iterable[str] = ()) -> TypedExtensionConfig:
    """Servers and clients both choose certificates this way. A certificate that is fetched on demand and also named
    outright would be asked for once only, and who named it would wait for ever (envoyproxy/envoy#47309)."""
    config = OnDemandSecret(config_source=ads(), certificate_mapper=mapper, prefetch_secret_names=prefetched)
    return extension(ON_DEMAND, config)


def _by_caller() -> TypedExtensionConfig:
    return extension(BY_FILTER_STATE, FilterStateOverride(default_value=NO_IDENTITY))


def _trusted(names: Iterable[StringMatcher]) -> CommonTlsContext.CombinedCertificateValidationContext:
    matchers = [SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.URI, matcher=name) for name in names]
    return CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=matchers),
        validation_context_sds_secret_config=SdsSecretConfig(name=TRUST_BUNDLE, sds_config=ads()),
    )


def _tls13() -> TlsParameters:
    return TlsParameters(
        tls_minimum_protocol_version=TlsParameters.TLSv1_3, tls_maximum_protocol_version=TlsParameters.TLSv1_3
    )
