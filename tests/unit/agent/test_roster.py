"""The roster says what runs here, tells of every change, and survives the agent."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.records import WEB_1

from tulle.agent.pidfd import ProcessIdentity
from tulle.agent.roster import Roster
from tulle.model.names import ProxyId, SpiffeId, WorkloadName
from tulle.model.workload import WorkloadPortSpec

WEB_2 = replace(WEB_1, name=WorkloadName("shop", "web-2"), mesh_port=15101)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "workloads.json"


def test_the_next_agent_finds_what_was_written(file: Path) -> None:
    joined = replace(WEB_2, app="", digest="", process=ProcessIdentity(1, 2, "boot"), state="Ready")
    roster = Roster(file)
    roster.put(joined)
    roster.put(WEB_1)
    assert Roster(file).load() == (WEB_1, joined)
    assert Roster(file).records() == ()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"name": {"namespace": "shop"}}]', b"\xff\xfe"])
def test_a_damaged_file_is_as_none(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    roster = Roster(file)
    assert roster.load() == ()
    roster.put(WEB_1)
    assert Roster(file).load() == (WEB_1,)


def test_only_changes_make_versions(file: Path) -> None:
    roster = Roster(file)
    versions = [roster.version]
    for change in (
        lambda: roster.put(WEB_1),
        lambda: roster.put(WEB_1),
        lambda: roster.set_state(WEB_1.name, "Starting"),
        lambda: roster.set_state(WEB_1.name, "Ready"),
        lambda: roster.set_state(WEB_2.name, "Ready"),
        lambda: roster.remove(WEB_2.name),
        lambda: roster.remove(WEB_1.name),
    ):
        change()
        versions.append(roster.version)
    assert versions == [0, 1, 1, 1, 2, 2, 2, 3]
    assert roster.get(WEB_1.name) is None


def test_what_is_not_taken_over_yet_stays_written_until_it_is_forgotten(file: Path) -> None:
    earlier = Roster(file)
    earlier.put(WEB_1)
    earlier.put(WEB_2)
    roster = Roster(file)
    assert roster.load() == (WEB_1, WEB_2)
    taken_over = replace(WEB_2, state="Ready")
    roster.put(taken_over)
    assert Roster(file).load() == (WEB_1, taken_over)
    roster.forget_earlier()
    assert Roster(file).load() == (taken_over,)


async def test_all_who_wait_hear_of_a_change(file: Path) -> None:
    roster = Roster(file)
    waiting = [asyncio.create_task(roster.changed(0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    roster.put(WEB_1)
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_what_changed_before_is_not_waited_for(file: Path) -> None:
    roster = Roster(file)
    roster.put(WEB_1)
    assert await roster.changed(0) == 1


def test_a_record_says_who_it_is_and_who_serves_it() -> None:
    assert WEB_1.proxy("n1") == ProxyId("n1", WEB_1.name)
    assert replace(WEB_1, mode="node").proxy("n1") == ProxyId("n1")
    assert WEB_1.identity("mesh.local") == SpiffeId("mesh.local", "shop", "web")


def test_the_control_plane_is_told_all_of_a_record() -> None:
    told = replace(WEB_1, state="Ready", host_gateway="/gateway").workload("n1")
    assert (told.metadata.namespace, told.metadata.name, told.metadata.labels) == ("shop", "web-1", {"app": "web"})
    spec = told.spec
    assert (spec.node, spec.address, spec.mesh_port, spec.network) == ("n1", "10.0.0.1", 15100, WEB_1.network)
    assert (spec.service_account, spec.mode, spec.app, spec.state) == ("web", "sidecar", "web", "Ready")
    assert spec.ports == (WorkloadPortSpec(8080, "http"),)
    assert spec.host_gateway == "/gateway"
