from datetime import timedelta

import pytest
from tests.fakes import mesh
from tests.fakes.stream import FakeStream
from tests.unit.control.conftest import NOW, Plane

from tulle.api import CertificateProblem, NodeState
from tulle.identity.errors import Denied
from tulle.identity.keypair import new_key, signing_request
from tulle.identity.messages import IssueRequest, RenewRequest
from tulle.identity.spiffe_id import NodeIdentity

HOUR = timedelta(hours=1)
NODE = "spiffe://tulle.local/tulle/node/n1"
WEB = "spiffe://tulle.local/ns/shop/sa/web"
CSR = signing_request(new_key())


def connect(plane: Plane, begins: timedelta, ends: timedelta) -> None:
    plane.streams.open(FakeStream("agent~n1", NODE, NOW + begins, NOW + ends))


def node(plane: Plane) -> NodeState:
    (state,) = plane.backend.nodes()
    return state


async def joined(plane: Plane) -> NodeIdentity:
    """A node that runs one workload, with a certificate for each."""
    identity = await plane.enrol("n1", "shop/*")
    await plane.write(mesh.workload("web-1", "web"))
    await plane.issuer.renew(identity, RenewRequest(CSR))
    await plane.issuer.issue(identity, IssueRequest("shop", "web-1", CSR))
    return identity


async def test_what_an_agent_connected_with_is_its_certificate(plane: Plane):
    connect(plane, -6 * HOUR, 18 * HOUR)
    assert (node(plane).certificate_expires, node(plane).certificate_life_used) == ("2026-05-04T18:00:00Z", 25)
    assert node(plane).certificate_problems == ()


async def test_what_it_was_given_since_is_newer(plane: Plane):
    identity = await plane.enrol("n1", "shop/*")
    connect(plane, -20 * HOUR, 4 * HOUR)
    assert [p.identity for p in node(plane).certificate_problems] == [NODE]
    await plane.issuer.renew(identity, RenewRequest(CSR))
    assert (node(plane).certificate_expires, node(plane).certificate_life_used) == ("2026-05-05T00:00:00Z", 0)
    assert node(plane).certificate_problems == ()


async def test_nothing_is_said_of_what_is_not_known(plane: Plane):
    await plane.enrol("n1", "shop/*")
    await plane.write(mesh.workload("web-1", "web"))
    assert (node(plane).certificate_expires, node(plane).certificate_life_used) == ("", None)
    assert node(plane).certificate_problems == ()


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        (13, ""),  # as late as jitter may make it
        (13.3, "50 % of its life is over, and it is not renewed; it ends at 2026-05-05T00:00:00Z"),
        (18.1, "75 % of its life is over, and it is not renewed; it ends at 2026-05-05T00:00:00Z"),
        (22, "90 % of its life is over, and it is not renewed; it ends at 2026-05-05T00:00:00Z"),
        (24, "ended at 2026-05-05T00:00:00Z, and was not renewed"),
    ],
)
async def test_certificates_that_are_not_renewed(plane: Plane, hours: float, message: str):
    await joined(plane)
    plane.now = NOW + hours * HOUR
    expected = tuple(CertificateProblem(identity, message) for identity in (NODE, WEB)) if message else ()
    assert node(plane).certificate_problems == expected


async def test_one_that_is_renewed_is_well_again(plane: Plane):
    identity = await joined(plane)
    plane.now = NOW + 20 * HOUR
    await plane.issuer.issue(identity, IssueRequest("shop", "web-1", CSR))
    assert [p.identity for p in node(plane).certificate_problems] == [NODE]
    await plane.issuer.renew(identity, RenewRequest(CSR))
    assert node(plane).certificate_problems == ()


async def test_what_no_longer_runs_there_needs_none(plane: Plane):
    await joined(plane)
    await plane.write(gone=[mesh.workload("web-1", "web")])
    plane.now = NOW + 20 * HOUR
    assert [p.identity for p in node(plane).certificate_problems] == [NODE]


async def test_one_that_is_refused(plane: Plane):
    identity = await joined(plane)
    await plane.book.remove_node("n1")
    await plane.enrol("n1", "bank/*")
    with pytest.raises(Denied):
        await plane.issuer.issue(identity, IssueRequest("shop", "web-1", CSR))
    problem = CertificateProblem(WEB, "was refused: the node's join token does not allow it")
    assert node(plane).certificate_problems == (problem,)


async def test_a_node_that_was_removed_and_is_back_begins_anew(plane: Plane):
    await joined(plane)
    await plane.backend.remove_node("n1")
    plane.now = NOW + 20 * HOUR
    await plane.enrol("n1", "shop/*")
    assert node(plane).certificate_problems == ()
