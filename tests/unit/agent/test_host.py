"""Workloads come and go in the order that loses nothing, and a failure at any step leaves nothing."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.host_parts import RUN_DIR, FakeHostParts

from tulle.agent.host import Admission, Host, HostSettings, NotAdmitted
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.model.problem import Problem

pytestmark = pytest.mark.virtual_time

WEB_1 = WorkloadName("shop", "web-1")
ADMISSION = Admission(WEB_1, "web", "sidecar", {"app": "web"}, (("http", 8080),), "web", "d1")
NETWORK = RUN_DIR / "shop~web-1"
IDENTITY = SpiffeId("mesh.local", "shop", "web")
SETTINGS = HostSettings("n1", "10.0.0.1", "mesh.local", ready=60, drain=1)
IN = [
    "create network",
    "serve names of shop",
    "report web-1 Starting",
    "want certificates",
    "want proxies",
    "dial shop~web-1 127.0.0.1:15001",
    "dial host 10.0.0.1:15100",
    "ask web-1's proxy for 15100",
]
OUT = ["report nothing", "want certificates", "want proxies", "stop names", "remove network"]


@pytest.fixture
def parts(tmp_path: Path) -> FakeHostParts:
    return FakeHostParts(tmp_path)


@pytest.fixture
def host(parts: FakeHostParts) -> Host:
    return parts.host(SETTINGS)


def assert_nothing_is_left(parts: FakeHostParts) -> None:
    assert (parts.networks, parts.names, parts.roster.records()) == (set(), set(), ())
    assert (parts.identities, parts.proxies) == ({}, frozenset())


async def test_a_workload_comes_in_order(parts: FakeHostParts, host: Host) -> None:
    record = await host.admit(ADMISSION)
    assert parts.steps == IN
    assert (record.state, record.network, record.address, record.mesh_port) == (
        "Starting",
        str(NETWORK),
        "10.0.0.1",
        15100,
    )
    assert parts.roster.records() == (record,)
    assert parts.identities == {IDENTITY: WEB_1}
    assert parts.proxies == {ProxyId("n1", WEB_1)}


async def test_a_workload_goes_in_order(parts: FakeHostParts, host: Host) -> None:
    await host.admit(ADMISSION)
    parts.steps.clear()
    await host.drain(WEB_1)
    assert asyncio.get_running_loop().time() == SETTINGS.drain
    await host.discard(WEB_1)
    assert parts.steps == ["report web-1 Draining", *OUT]
    assert_nothing_is_left(parts)


async def test_each_workload_has_a_mesh_port_of_its_own(host: Host) -> None:
    names = [WorkloadName("shop", f"web-{number}") for number in range(5)]
    records = await asyncio.gather(*(host.admit(replace(ADMISSION, name=name)) for name in names))
    assert len({record.mesh_port for record in records}) == 5


async def test_proxies_in_a_network_of_their_own_are_dialled_there(parts: FakeHostParts) -> None:
    host = parts.host(replace(SETTINGS, address="127.0.0.1", proxy_network=Path("/ns/node"), host_gateway="/gateway"))
    record = await host.admit(replace(ADMISSION, mode="node"))
    assert parts.steps[-2] == "dial node 127.0.0.1:15100"
    assert record.host_gateway == "/gateway"
    assert parts.proxies == {ProxyId("n1")}


@pytest.mark.parametrize("failing", [step for step in IN[1:] if not step.startswith("want")])
async def test_a_failure_at_any_step_leaves_nothing(parts: FakeHostParts, host: Host, failing: str) -> None:
    parts.failures[failing] = OSError("out of memory")
    with pytest.raises(NotAdmitted, match=r"web-1.shop .*out of memory"):
        await host.admit(ADMISSION)
    assert_nothing_is_left(parts)
    assert parts.steps[-len(OUT) :] == OUT


async def test_a_mesh_port_that_somebody_else_has_is_given_up(parts: FakeHostParts, host: Host) -> None:
    parts.taken = {15100, 15101}
    record = await host.admit(ADMISSION)
    assert record.mesh_port == 15102
    assert parts.roster.records() == (record,)


async def test_mesh_ports_are_not_tried_for_ever(parts: FakeHostParts, host: Host) -> None:
    parts.taken = set(range(15100, 15900))
    with pytest.raises(NotAdmitted, match="5 mesh ports in turn were taken"):
        await host.admit(ADMISSION)
    assert_nothing_is_left(parts)


async def test_a_proxy_that_does_not_answer_yet_is_asked_again(parts: FakeHostParts, host: Host) -> None:
    parts.silent_admin = 3
    assert (await host.admit(ADMISSION)).mesh_port == 15100


async def test_a_mesh_port_that_is_taken_while_its_proxy_is_away_is_given_up(parts: FakeHostParts, host: Host) -> None:
    await host.admit(ADMISSION)
    parts.roster.set_state(WEB_1, "Ready")
    parts.steps.clear()
    parts.taken = {15100}
    await host.keep_served(ProxyId("n1", WEB_1))
    (record,) = parts.roster.records()
    assert (record.mesh_port, record.state) == (15101, "Ready")
    assert parts.steps == [*IN[5:], "report web-1 Ready", *IN[3:6], "dial host 10.0.0.1:15101", IN[7][:-1] + "1"]


async def test_only_the_workloads_of_the_proxy_are_looked_after(parts: FakeHostParts, host: Host) -> None:
    await host.admit(ADMISSION)
    parts.taken = {15100}
    await host.keep_served(ProxyId("n1"))
    assert [record.mesh_port for record in parts.roster.records()] == [15100]


async def test_a_workload_that_is_coming_looks_after_itself(parts: FakeHostParts, host: Host) -> None:
    parts.listening = False
    admitting = asyncio.create_task(host.admit(ADMISSION))
    await asyncio.sleep(1)
    await host.keep_served(ProxyId("n1", WEB_1))
    assert asyncio.get_running_loop().time() == 1
    parts.listening = True
    await admitting


async def test_a_workload_that_has_gone_is_not_brought_back(parts: FakeHostParts, host: Host) -> None:
    await host.admit(ADMISSION)
    parts.listening = False
    looking = asyncio.create_task(host.keep_served(ProxyId("n1", WEB_1)))
    await asyncio.sleep(1)
    await host.discard(WEB_1)
    await looking
    assert_nothing_is_left(parts)


async def test_a_proxy_that_does_not_listen_again_is_told(
    parts: FakeHostParts, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.admit(ADMISSION)
    parts.listening = False
    await host.keep_served(ProxyId("n1", WEB_1))
    assert asyncio.get_running_loop().time() == pytest.approx(60)
    assert "web-1.shop is not served: its proxy does not listen at 15100" in caplog.text


async def test_without_a_network_there_is_nothing_to_discard(parts: FakeHostParts, host: Host) -> None:
    parts.failures["create network"] = OSError("no nftables")
    with pytest.raises(NotAdmitted, match="no nftables"):
        await host.admit(ADMISSION)
    assert parts.steps == ["create network"]


async def test_a_name_that_is_taken_stays_the_first_ones(parts: FakeHostParts, host: Host) -> None:
    record = await host.admit(ADMISSION)
    with pytest.raises(NotAdmitted, match="already"):
        await host.admit(ADMISSION)
    assert parts.roster.records() == (record,)
    assert parts.networks == {NETWORK}


async def test_a_refused_workload_is_not_waited_for(parts: FakeHostParts, host: Host) -> None:
    parts.refusals[WEB_1] = Problem("spec.serviceAccount", "node n1 may not run shop/web", "make a join token")
    with pytest.raises(NotAdmitted, match="node n1 may not run shop/web"):
        await host.admit(ADMISSION)
    assert asyncio.get_running_loop().time() == 0
    assert_nothing_is_left(parts)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ({"up_to_date": False, "certified": False}, "the control plane has not heard of it"),
        ({"certified": False}, "no certificate"),
        ({"listening": False}, "its proxy does not listen"),
    ],
)
async def test_a_workload_that_is_not_ready_in_time_is_given_up(
    parts: FakeHostParts, host: Host, lacking: dict[str, bool], message: str
) -> None:
    for name, value in lacking.items():
        setattr(parts, name, value)
    with pytest.raises(NotAdmitted, match=f"not in the mesh after 60 s: .*{message}"):
        await host.admit(ADMISSION)
    assert asyncio.get_running_loop().time() == pytest.approx(60)
    assert_nothing_is_left(parts)


async def test_nothing_is_left_where_nobody_waits_any_longer(parts: FakeHostParts, host: Host) -> None:
    parts.listening = False
    admitting = asyncio.create_task(host.admit(ADMISSION))
    await asyncio.sleep(5)
    admitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await admitting
    assert_nothing_is_left(parts)


async def test_what_an_earlier_agent_left_is_taken_over(parts: FakeHostParts, host: Host) -> None:
    record = await host.admit(ADMISSION)
    other = parts.host(SETTINGS)
    parts.roster.remove(WEB_1)
    parts.steps.clear()
    assert await other.adopt(record)
    other.deal()
    assert parts.steps == ["serve names of shop", "want certificates", "want proxies"]
    assert parts.roster.records() == (record,)
    assert parts.proxies == {ProxyId("n1", WEB_1)}
    assert (await other.admit(replace(ADMISSION, name=WorkloadName("shop", "web-2")))).mesh_port != record.mesh_port


async def test_what_has_lost_its_network_is_not_taken_over(parts: FakeHostParts, host: Host) -> None:
    record = await host.admit(ADMISSION)
    await host.discard(WEB_1)
    assert not await host.adopt(record)
    assert parts.roster.records() == ()


async def test_a_network_elsewhere_is_not_taken_over(parts: FakeHostParts, host: Host) -> None:
    """The record may be of an agent with another run directory."""
    record = await host.admit(ADMISSION)
    parts.roster.remove(WEB_1)
    assert not await host.adopt(replace(record, network="/elsewhere/shop~web-1"))


async def test_without_a_name_server_it_is_not_taken_over(parts: FakeHostParts, host: Host) -> None:
    record = await host.admit(ADMISSION)
    parts.roster.remove(WEB_1)
    parts.failures["serve names of shop"] = OSError("no room")
    assert not await host.adopt(record)
    assert parts.roster.records() == ()
