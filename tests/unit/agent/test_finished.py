"""What has finished is known to the next agent."""

from pathlib import Path

import pytest

from tulle.agent.finished import Finished, FinishedReplicas
from tulle.model.names import AppName, WorkloadName

WEB_1 = Finished(WorkloadName("shop", "web-1"), AppName("shop", "web"), "d1")
WEB_2 = Finished(WorkloadName("shop", "web-2"), AppName("shop", "web"), "d1")


def test_the_next_agent_finds_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "finished.json"
    finished = FinishedReplicas(file)
    assert finished.all() == ()
    for each in (WEB_2, WEB_1):
        finished.add(each)
    assert FinishedReplicas(file).all() == finished.all() == (WEB_1, WEB_2)
    finished.remove(WEB_2.name)
    finished.remove(WEB_2.name)
    assert FinishedReplicas(file).all() == (WEB_1,)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b'[{"name": "web"}]', b"\xff\xfe"])
def test_a_damaged_file_is_as_none_and_is_told(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "finished.json"
    file.write_bytes(content)
    assert FinishedReplicas(file).all() == ()
    assert "finished.json is damaged" in caplog.text


def test_what_cannot_be_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished = FinishedReplicas(tmp_path / "missing" / "finished.json")
    finished.add(WEB_1)
    assert finished.all() == (WEB_1,)
    assert "may run again" in caplog.text
