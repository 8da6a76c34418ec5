"""One process holds the namespaces, over any number of agents, until it is released."""

import time
from pathlib import Path

import pytest

from tulle.agent.capture.holder import hold, holder, release
from tulle.agent.pidfd import ProcessIdentity, runs


def has_ended(identity: ProcessIdentity) -> bool:
    for _ in range(1000):
        if not runs(identity):
            return True
        time.sleep(0.01)
    return False


def test_one_process_holds_until_it_is_released(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    hold(tmp_path)
    first = holder(tmp_path)
    try:
        assert first is not None
        assert runs(first)
        hold(tmp_path)
        assert holder(tmp_path) == first
    finally:
        release(tmp_path)
    assert holder(tmp_path) is None
    assert has_ended(first)


def test_one_that_has_ended_is_replaced(tmp_path: Path) -> None:
    hold(tmp_path)
    first = holder(tmp_path)
    assert first is not None
    record = (tmp_path / "holder.json").read_bytes()
    release(tmp_path)
    assert has_ended(first)
    (tmp_path / "holder.json").write_bytes(record)
    hold(tmp_path)
    second = holder(tmp_path)
    try:
        assert second is not None
        assert second != first
        assert runs(second)
    finally:
        release(tmp_path)


def idle_children() -> set[str]:
    """The processes that this one has started and that hold something, or would."""
    pids = {pid for table in Path("/proc/self/task").glob("*/children") for pid in table.read_text().split()}
    return {pid for pid in pids if b"2147483647" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_nobody_stays_who_is_not_written_down(tmp_path: Path) -> None:
    """As where this process ends between the two."""
    before = idle_children()
    with pytest.raises(FileNotFoundError):
        hold(tmp_path / "missing")
    for _ in range(1000):
        if idle_children() == before:
            return
        time.sleep(0.01)
    raise AssertionError("it stays")


def test_a_record_that_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "holder.json").write_text("{")
    assert holder(tmp_path) is None
    release(tmp_path)
