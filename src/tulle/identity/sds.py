"""Makes the secrets that proxies ask for: certificates by SPIFFE ID, and the trust bundle.

Pure, like everything that makes xDS. The names are fixed: listeners and clusters of all proxies refer to them.
"""

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_spiffe_validator_config_pb2

from tulle.identity.svid import Svid
from tulle.xds.names import TRUST_BUNDLE
from tulle.xds.packing import extension
from tulle.xds.resource import Resource, resource
from tulle.xds.type_urls import SECRET

_SPIFFE_VALIDATOR = "envoy.tls.cert_validator.spiffe"


def certificate_secret(svid: Svid) -> Resource:
    """The TLS certificate named by its SPIFFE ID. The body holds the private key: it goes to the proxy and nowhere
    else, neither to a log nor to a disk."""
    certificate = common_pb2.TlsCertificate(
        certificate_chain=_inline(svid.chain_pem.encode()), private_key=_inline(svid.key.reveal())
    )
    name = str(svid.identity)
    return _secret(name, secret_pb2.Secret(name=name, tls_certificate=certificate))


def trust_bundle_secret(trust_domain: str, bundle_pem: str) -> Resource:
    """The validation context: a peer needs a certificate from `bundle_pem` with a SPIFFE ID in `trust_domain`. Whose
    ID it may be is added by listeners and clusters."""
    bundle = _inline(bundle_pem.encode())
    spiffe = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig()
    spiffe.trust_domains.add(name=trust_domain, trust_bundle=bundle)
    context = common_pb2.CertificateValidationContext(
        trusted_ca=bundle, custom_validator_config=extension(_SPIFFE_VALIDATOR, spiffe)
    )
    return _secret(TRUST_BUNDLE, secret_pb2.Secret(name=TRUST_BUNDLE, validation_context=context))


def _secret(name: str, secret: secret_pb2.Secret) -> Resource:
    return resource(SECRET, name, secret.SerializeToString(deterministic=True))


def _inline(content: bytes) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=content)
