"""A proxy gets the certificates of the workloads it serves, once there are any, and the trust bundle."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tulle.agent.secrets import SvidSecrets
from tulle.identity import ca
from tulle.identity.messages import CertificateReply
from tulle.identity.svids import Svids
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.stream.protocol import ABSENT, PENDING
from tulle.xds.names import NO_IDENTITY, TRUST_BUNDLE
from tulle.xds.resource import Resource

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CART, WEB = SpiffeId("mesh.local", "shop", "cart"), SpiffeId("mesh.local", "shop", "web")
CART_1, WEB_1 = WorkloadName("shop", "cart-1"), WorkloadName("shop", "web-1")
CART_PROXY, WEB_PROXY = ProxyId("n1", CART_1), ProxyId("n1", WEB_1)


@pytest.fixture
def svids(tmp_path: Path) -> Svids:
    authority = ca.new_authority("mesh.local", NOW - timedelta(hours=1))

    async def issue(workload: WorkloadName, csr_pem: str) -> CertificateReply:
        identity = CART if workload == CART_1 else WEB
        leaf = ca.sign(csr_pem, identity, NOW, timedelta(hours=24), authority)
        return CertificateReply(ca.pem(leaf), authority.bundle_pem)

    return Svids(tmp_path / "svid", authority.bundle_pem, issue, lambda: NOW, lambda: 0)


def identities_of(proxy: ProxyId) -> frozenset[SpiffeId]:
    return frozenset({CART if proxy == CART_PROXY else WEB})


async def test_its_own_once_there_is_one_and_nobody_elses(svids: Svids) -> None:
    secrets = SvidSecrets(svids, "mesh.local", identities_of)
    svids.want({CART: CART_1, WEB: WEB_1})
    assert secrets.get(CART_PROXY, str(CART)) is PENDING
    await svids.step()
    own = secrets.get(CART_PROXY, str(CART))
    assert isinstance(own, Resource)
    assert own.name == str(CART)
    assert secrets.get(WEB_PROXY, str(CART)) is ABSENT
    assert secrets.get(CART_PROXY, NO_IDENTITY) is ABSENT


def test_everybody_gets_the_trust_bundle(svids: Svids) -> None:
    bundle = SvidSecrets(svids, "mesh.local", identities_of).get(WEB_PROXY, TRUST_BUNDLE)
    assert isinstance(bundle, Resource)
    assert bundle.name == TRUST_BUNDLE
