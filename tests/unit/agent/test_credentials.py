"""A node's certificate is kept, used while it is in time, and renewed without ending calls that are under way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes.identity_server import ControlPlane

from tulle.agent.credentials import Credentials
from tulle.identity.client import load
from tulle.identity.errors import Unavailable, Untrusted
from tulle.identity.messages import ReportRequest
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import JoinToken

N1 = NodeIdentity("mesh.local", "n1")


class Node:
    """A node with a clock of its own, which the test moves. `tokens` counts those read."""

    def __init__(self, control_plane: ControlPlane, directory: Path) -> None:
        self.control_plane = control_plane
        self.directory = directory
        self.now = control_plane.clock.now
        self.token: JoinToken | None = None
        self.tokens = 0
        self._made: list[Credentials] = []

    async def obtain(self, node: NodeIdentity = N1) -> Credentials:
        made = await Credentials.obtain(
            node,
            self.directory,
            self.control_plane.nodes,
            self.control_plane.enrolment,
            self._read_token,
            lambda: self.now,
            lambda: 0,
        )
        self._made.append(made)
        return made

    def _read_token(self) -> JoinToken:
        self.tokens += 1
        if self.token is None:
            raise LookupError("no token was given")
        return self.token

    async def close(self) -> None:
        for made in self._made:
            await made.channel.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    control_plane = ControlPlane(tmp_path)
    await control_plane.start()
    node = Node(control_plane, tmp_path / "agent")
    node.token = await control_plane.token()
    yield node
    await node.close()
    await control_plane.stop()


async def test_a_token_is_needed_the_first_time_only(node: Node) -> None:
    first = await node.obtain()
    node.token = None
    second = await node.obtain()
    assert node.tokens == 1
    assert first.bundle_pem == second.bundle_pem == node.control_plane.authority.bundle_pem
    await second.report(ReportRequest("n1", ()))


async def test_without_a_token_there_is_nothing_to_start_with(node: Node) -> None:
    node.token = None
    with pytest.raises(LookupError):
        await node.obtain()


async def test_a_token_is_not_spent_where_the_trust_domain_is_another(node: Node) -> None:
    with pytest.raises(Untrusted, match=r"the trust domain is mesh\.local there, not shop\.example"):
        await node.obtain(NodeIdentity("shop.example", "n1"))
    await node.obtain()


async def test_a_kept_certificate_needs_no_control_plane(node: Node) -> None:
    await node.obtain()
    await node.control_plane.stop()
    again = await node.obtain()
    with pytest.raises(Unavailable):
        await again.report(ReportRequest("n1", ()))


async def test_an_expired_certificate_is_as_none(node: Node) -> None:
    await node.obtain()
    node.now += timedelta(days=400)
    node.token = await node.control_plane.token()
    await node.obtain()
    assert node.tokens == 2


async def test_it_is_renewed_at_half_life_and_kept(node: Node) -> None:
    credentials = await node.obtain()
    before, channel = load(node.directory, N1), credentials.channel
    assert before is not None
    due = await credentials.step()
    assert due == before.svid.not_before + (before.svid.not_after - before.svid.not_before) / 2
    assert credentials.channel is channel
    node.now = due
    assert await credentials.step() >= due
    after = load(node.directory, N1)
    assert after is not None
    assert after.svid.key != before.svid.key
    assert credentials.channel is not channel
    await credentials.report(ReportRequest("n1", ()))


async def test_a_call_under_way_survives_a_renewal(node: Node) -> None:
    credentials = await node.obtain()
    node.control_plane.held = asyncio.Event()
    call = asyncio.create_task(credentials.report(ReportRequest("n1", ())))
    await node.control_plane.reached.wait()
    channel = credentials.channel
    node.now = await credentials.step()
    renewing = asyncio.create_task(credentials.step())
    while credentials.channel is channel:
        await asyncio.sleep(0)
    node.control_plane.held.set()
    assert (await call).problems
    await renewing


async def test_while_the_control_plane_is_away_it_is_tried_again(node: Node) -> None:
    credentials = await node.obtain()
    channel = credentials.channel
    await node.control_plane.stop()
    node.now = await credentials.step()
    waits = []
    for _ in range(3):
        due = await credentials.step()
        waits.append((due - node.now).total_seconds())
        node.now = due
    assert waits == [0.5, 1, 2]
    assert credentials.channel is channel


async def test_one_that_is_not_renewed_is_warned_of_at_each_level_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = await node.obtain()
    kept = load(node.directory, N1)
    assert kept is not None
    begin, life = kept.svid.not_before, kept.svid.not_after - kept.svid.not_before
    await node.control_plane.stop()

    async def warned(used: float) -> list[str]:
        caplog.clear()
        node.now = begin + life * used
        await credentials.step()
        return [r.getMessage()[:4] for r in caplog.records if "of the life of the node's certificate" in r.getMessage()]

    seen = [await warned(used) for used in (0.4, 0.5, 0.6, 0.7, 0.8, 0.91, 0.92)]
    assert seen == [[], ["50 %"], [], [], ["75 %"], ["90 %"], []]


async def test_one_that_cannot_be_kept_is_used(node: Node) -> None:
    credentials = await node.obtain()
    channel = credentials.channel
    (node.directory / "node.pem").unlink()
    (node.directory / "node.pem").mkdir()
    node.now = await credentials.step()
    await credentials.step()
    assert credentials.channel is not channel
    await credentials.report(ReportRequest("n1", ()))
