import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tulle.identity import ca
from tulle.identity.errors import Denied, Unavailable
from tulle.identity.messages import CertificateReply
from tulle.identity.svids import Svids
from tulle.model.names import SpiffeId, WorkloadName

CART, WEB = SpiffeId("mesh.local", "shop", "cart"), SpiffeId("mesh.local", "shop", "web")
CART_1, CART_2, WEB_1 = WorkloadName("shop", "cart-1"), WorkloadName("shop", "cart-2"), WorkloadName("shop", "web-1")
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


class World:
    """A control plane that can be away, and a clock that stands still."""

    def __init__(self, directory: Path) -> None:
        self.now = START
        self.authority = ca.new_authority("mesh.local", START - HOUR)
        self.identities = {CART_1: CART, CART_2: CART, WEB_1: WEB}
        self.calls: list[WorkloadName] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.directory = directory / "svid"
        self.changes = 0
        self.svids = self.agent()

    def agent(self) -> Svids:
        svids = Svids(self.directory, self.authority.bundle_pem, self.issue, lambda: self.now, lambda: 0)
        svids.listen(self.changed)
        return svids

    def changed(self) -> None:
        self.changes += 1

    async def issue(self, workload: WorkloadName, csr_pem: str) -> CertificateReply:
        self.calls.append(workload)
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        leaf = ca.sign(csr_pem, self.identities[workload], self.now, 24 * HOUR, self.authority)
        return CertificateReply(ca.pem(leaf), self.authority.bundle_pem)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_every_wanted_identity_gets_one_certificate(world: World):
    world.svids.want({CART: CART_1, WEB: WEB_1})
    due = await world.svids.step()
    assert world.calls == [CART_1, WEB_1]
    cart = world.svids.get(CART)
    assert cart and cart.identity == CART and cart.not_after == START + 24 * HOUR
    assert [svid.identity for svid in world.svids.all()] == [CART, WEB]
    assert due == START - 10 * SECOND + (24 * HOUR + 10 * SECOND) / 2
    assert world.changes == 2
    await world.svids.step()
    assert len(world.calls) == 2


async def test_nothing_wanted_is_nothing_done(world: World):
    assert await world.svids.step() is None
    assert world.svids.get(CART) is None


async def test_a_certificate_is_renewed_at_half_of_its_life_with_a_new_key(world: World):
    world.svids.want({CART: CART_1})
    due = await world.svids.step()
    first = world.svids.get(CART)
    world.now = due - SECOND
    await world.svids.step()
    assert world.svids.get(CART) is first
    world.now = due
    await world.svids.step()
    second = world.svids.get(CART)
    assert first and second and second.key != first.key and second.not_after > first.not_after
    assert world.changes == 2


async def test_a_valid_certificate_is_kept_while_the_control_plane_is_away(world: World):
    world.svids.want({CART: CART_1})
    world.now = await world.svids.step()
    first = world.svids.get(CART)
    world.error = Unavailable("away")
    waits = []
    for _ in range(10):
        due = await world.svids.step()
        waits.append((due - world.now).total_seconds())
        world.now = due
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150]
    assert world.svids.get(CART) is first
    world.error = None
    await world.svids.step()
    assert world.svids.get(CART) is not first


async def test_a_certificate_that_is_not_renewed_is_warned_of_at_each_level_once(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.svids.want({CART: CART_1})
    await world.svids.step()
    world.error = Unavailable("away")

    async def warned(hours: float) -> list[str]:
        caplog.clear()
        world.now = START + hours * HOUR
        await world.svids.step()
        return [
            r.getMessage()[:4] for r in caplog.records if f"of the life of the certificate of {CART}" in r.getMessage()
        ]

    assert [await warned(h) for h in (11, 12, 13, 18.1, 19, 22, 23)] == [[], ["50 %"], [], ["75 %"], [], ["90 %"], []]
    world.error = None
    assert await warned(23.5) == []
    world.error = Unavailable("away")
    assert await warned(23.5 + 12.1) == ["50 %"]


async def test_a_certificate_that_has_ended_is_given_to_nobody(world: World):
    world.svids.want({CART: CART_1})
    await world.svids.step()
    world.error = Unavailable("away")
    world.now = START + 24 * HOUR - SECOND
    due = await world.svids.step()
    assert world.svids.get(CART)
    world.now = START + 24 * HOUR
    await world.svids.step()
    assert due <= world.now
    assert world.svids.get(CART) is None and world.svids.all() == ()
    assert world.changes == 2


async def test_back_off_ends_when_the_control_plane_is_back(world: World):
    world.svids.want({CART: CART_1})
    world.error = Unavailable("away")
    for _ in range(12):
        world.now = await world.svids.step()
    world.now -= 100 * SECOND
    world.error = None
    await world.svids.step()
    assert world.svids.get(CART) is None
    world.svids.retry()
    await world.svids.step()
    assert world.svids.get(CART)


async def test_one_refusal_does_not_hold_up_the_others(world: World):
    world.identities[WEB_1] = CART  # the wrong identity comes back
    world.svids.want({CART: CART_1, WEB: WEB_1})
    await world.svids.step()
    assert world.svids.get(CART) and world.svids.get(WEB) is None


async def test_another_workload_is_tried_at_once_after_a_refusal(world: World):
    world.error = Denied("no such workload")
    world.svids.want({CART: CART_1})
    await world.svids.step()
    world.error = None
    await world.svids.step()
    assert world.calls == [CART_1]
    world.svids.want({CART: CART_2})
    await world.svids.step()
    assert world.calls == [CART_1, CART_2] and world.svids.get(CART)


async def test_a_new_agent_has_the_certificates_of_the_old_one(world: World):
    world.svids.want({CART: CART_1})
    await world.svids.step()
    first = world.svids.get(CART)
    assert [path.stat().st_mode & 0o777 for path in world.directory.iterdir()] == [0o600]
    assert world.directory.stat().st_mode & 0o777 == 0o700
    world.error = Unavailable("away")
    again = world.agent()
    again.want({CART: CART_2})
    assert again.get(CART) == first
    await again.step()
    assert world.calls == [CART_1]


@pytest.mark.parametrize("damage", ["expired", "cut", "foreign", "swapped"])
async def test_a_kept_certificate_that_does_not_fit_is_not_used(world: World, damage: str):
    world.svids.want({CART: CART_1, WEB: WEB_1})
    await world.svids.step()
    file = world.directory / "shop~cart.pem"
    match damage:
        case "expired":
            world.now += 25 * HOUR
        case "cut":
            file.write_bytes(file.read_bytes()[:-100])
        case "foreign":
            world.authority = ca.new_authority("mesh.local", START - HOUR)
        case "swapped":
            file.write_bytes((world.directory / "shop~web.pem").read_bytes())
    again = world.agent()
    again.want({CART: CART_1})
    assert again.get(CART) is None
    await again.step()
    assert again.get(CART)


async def test_the_key_of_an_identity_that_is_not_wanted_is_deleted(world: World):
    world.svids.want({CART: CART_1, WEB: WEB_1})
    await world.svids.step()
    world.svids.want({WEB: WEB_1})
    assert [path.name for path in world.directory.iterdir()] == ["shop~web.pem"]
    assert world.svids.get(CART) is None
    assert world.changes == 3


async def test_an_answer_for_what_is_not_wanted_any_more_is_dropped(world: World):
    world.gate = asyncio.Event()
    world.svids.want({CART: CART_1})
    step = asyncio.create_task(world.svids.step())
    while not world.calls:
        await asyncio.sleep(0)
    world.svids.want({})
    world.gate.set()
    await step
    assert world.svids.all() == () and list(world.directory.iterdir()) == []


async def test_a_certificate_that_cannot_be_kept_is_used(world: World):
    world.svids.want({CART: CART_1})
    (world.directory / "shop~cart.pem").mkdir()  # nothing can be put in its place
    await world.svids.step()
    assert world.svids.get(CART)


async def test_a_new_bundle_is_told(world: World):
    world.svids.want({CART: CART_1})
    await world.svids.step()
    world.authority = ca.new_authority("mesh.local", START - HOUR)
    world.svids.want({CART: CART_1, WEB: WEB_1})
    await world.svids.step()
    assert world.svids.bundle_pem == world.authority.bundle_pem


async def test_a_listener_can_leave(world: World):
    told: list[int] = []
    leave = world.svids.listen(lambda: told.append(1))
    world.svids.want({CART: CART_1})
    await world.svids.step()
    leave()
    world.svids.want({WEB: WEB_1})
    await world.svids.step()
    assert told == [1]


async def test_the_loop_wakes_for_what_is_wanted_anew(world: World):
    ready = asyncio.Event()
    world.svids.listen(ready.set)
    loop = asyncio.create_task(world.svids.run())
    try:
        await asyncio.sleep(0)
        world.svids.want({CART: CART_1})
        async with asyncio.timeout(10):
            await ready.wait()
        assert world.svids.get(CART)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_the_loop_deletes_what_an_earlier_agent_left(world: World):
    world.now = datetime.now(UTC)
    world.authority = ca.new_authority("mesh.local", world.now - HOUR)
    world.svids = world.agent()
    world.svids.want({CART: CART_1})
    await world.svids.step()
    world.now += 25 * HOUR
    again = world.agent()
    again.want({})
    loop = asyncio.create_task(again.run())
    await asyncio.sleep(0)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert list(world.directory.iterdir()) == []
