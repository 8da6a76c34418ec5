"""What an application is told, and what an agent finds."""

import os
from pathlib import Path

import msgspec

from tulle.agent.capture.process import Launched, leftovers, read_record, resolv_conf
from tulle.agent.pidfd import identity_of


def test_names_are_looked_up_in_the_applications_own_namespace_first() -> None:
    assert resolv_conf("shop", "127.0.0.53", "corp.example").splitlines() == [
        "nameserver 127.0.0.53",
        "search shop.svc.corp.example svc.corp.example",
        "options ndots:1 timeout:3 attempts:3",
    ]
    assert "search shop.svc svc\n" in resolv_conf("shop", "127.0.0.53", "")


def test_a_record_names_an_application(tmp_path: Path) -> None:
    record = tmp_path / "app.json"
    assert read_record(record) is None
    for damaged in (b"{", b'{"network":"\xff"}'):
        record.write_bytes(damaged)
        assert read_record(record) is None
    identity = identity_of(os.getpid())
    assert identity is not None
    launched = Launched(identity, 1, "/nonexistent")
    record.write_bytes(msgspec.json.encode(launched))
    assert read_record(record) == launched


def test_without_a_network_there_are_no_leftovers() -> None:
    identity = identity_of(os.getpid())
    assert identity is not None
    mounts = Path("/proc/self/ns/mnt").stat().st_ino
    assert leftovers(Launched(identity, mounts, "/nonexistent")) == ()


def test_leftovers_are_in_both_namespaces() -> None:
    identity = identity_of(os.getpid())
    assert identity is not None
    mounts = Path("/proc/self/ns/mnt").stat().st_ino
    assert identity in leftovers(Launched(identity, mounts, "/proc/self/ns/net"))
    assert leftovers(Launched(identity, mounts + 1_000_000, "/proc/self/ns/net")) == ()
    assert leftovers(Launched(identity, mounts, "/proc/self/ns/mnt")) == ()
