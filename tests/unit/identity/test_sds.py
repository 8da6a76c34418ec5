import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_spiffe_validator_config_pb2

from tulle.identity import ca
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.sds import certificate_secret, trust_bundle_secret
from tulle.identity.svid import Svid, certified
from tulle.model.names import SpiffeId
from tulle.xds.names import TRUST_BUNDLE
from tulle.xds.resource import Resource
from tulle.xds.type_urls import SECRET

NOW = datetime.now(UTC)
CART = SpiffeId("mesh.local", "shop", "cart")
AUTHORITY = ca.new_authority("mesh.local", NOW)


def svid() -> Svid:
    key = new_key()
    leaf = ca.sign(signing_request(key), CART, NOW, timedelta(hours=1), AUTHORITY)
    return certified(key, ca.pem(leaf), CART, AUTHORITY.bundle_pem)


def secret(resource: Resource) -> secret_pb2.Secret:
    assert resource.type_url == SECRET
    parsed = secret_pb2.Secret.FromString(resource.body)
    assert parsed.name == resource.name
    return parsed


def test_a_certificate_is_named_by_its_spiffe_id():
    one = svid()
    resource = certificate_secret(one)
    certificate = secret(resource).tls_certificate
    assert resource.name == "spiffe://mesh.local/ns/shop/sa/cart"
    assert certificate.private_key.inline_bytes == one.key.reveal()
    assert certificate.certificate_chain.inline_bytes.decode() == one.chain_pem
    assert certificate_secret(one) == resource
    assert certificate_secret(svid()).version != resource.version


def test_the_trust_bundle_checks_the_trust_domain():
    resource = trust_bundle_secret("mesh.local", AUTHORITY.bundle_pem)
    context = secret(resource).validation_context
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig.FromString(
        context.custom_validator_config.typed_config.value
    )
    assert resource.name == TRUST_BUNDLE == "trust-bundle"
    assert context.custom_validator_config.name == "envoy.tls.cert_validator.spiffe"
    assert context.trusted_ca.inline_bytes.decode() == AUTHORITY.bundle_pem
    assert [(domain.name, domain.trust_bundle) for domain in validator.trust_domains] == [
        ("mesh.local", context.trusted_ca)
    ]


def test_envoy_takes_both(tmp_path: Path):
    bootstrap = bootstrap_pb2.Bootstrap()
    bootstrap.static_resources.secrets.extend(
        [secret(certificate_secret(svid())), secret(trust_bundle_secret("mesh.local", AUTHORITY.bundle_pem))]
    )
    file = tmp_path / "bootstrap.pb"
    file.write_bytes(bootstrap.SerializeToString())
    envoy = Path(sys.executable).with_name("envoy")
    result = subprocess.run(
        [envoy, "--mode", "validate", "-c", file, "-l", "error"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
