"""The logs of those who run stay, and the last few of those who have gone."""

import os
from pathlib import Path

import pytest

from tulle.agent.app_logs import AppLogs, LogLimits
from tulle.model.names import WorkloadName

LIMITS = LogLimits(of_an_app=2, of_all=3)


@pytest.fixture
def logs(tmp_path: Path) -> AppLogs:
    return AppLogs(tmp_path, LIMITS)


def written(logs: AppLogs, *names: str, namespace: str = "shop") -> list[WorkloadName]:
    """Replicas that wrote one after the other, the last one last."""
    replicas = [WorkloadName(namespace, name) for name in names]
    for time, replica in enumerate(replicas):
        logs.path(replica).touch()
        os.utime(logs.path(replica), (time, time))
    return replicas


def left(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_of_each_app_the_last_ones_stay(logs: AppLogs, tmp_path: Path) -> None:
    written(logs, "web-3", "web-1", "web-2", "web-front-1")
    logs.tidy(())
    assert left(tmp_path) == {"shop~web-1.log", "shop~web-2.log", "shop~web-front-1.log"}


def test_an_app_of_another_namespace_is_another(logs: AppLogs, tmp_path: Path) -> None:
    written(logs, "web-1", "web-2")
    written(logs, "web-1", namespace="bank")
    logs.tidy(())
    assert len(left(tmp_path)) == 3


def test_those_who_run_are_not_counted(logs: AppLogs, tmp_path: Path) -> None:
    old, *_ = written(logs, "web-1", "web-2", "web-3", "web-4")
    logs.tidy({old})
    assert left(tmp_path) == {"shop~web-1.log", "shop~web-3.log", "shop~web-4.log"}


def test_of_all_apps_only_so_many_stay(logs: AppLogs, tmp_path: Path) -> None:
    written(logs, "a-1", "b-1", "c-1", "d-1")
    logs.tidy(())
    assert left(tmp_path) == {"shop~b-1.log", "shop~c-1.log", "shop~d-1.log"}


def test_what_is_no_log_stays(logs: AppLogs, tmp_path: Path) -> None:
    for name in ("notes.txt", "web-1.log", "shop~web.txt"):
        (tmp_path / name).touch()
    AppLogs(tmp_path, LogLimits(0, 0)).tidy(())
    assert left(tmp_path) == {"notes.txt", "web-1.log", "shop~web.txt"}


def test_without_a_directory_there_is_nothing_to_do(tmp_path: Path) -> None:
    AppLogs(tmp_path / "missing", LIMITS).tidy(())


def test_what_cannot_be_removed_is_told(logs: AppLogs, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(logs, "web-1", "web-2")
    (tmp_path / "shop~web-0.log").mkdir()
    os.utime(tmp_path / "shop~web-0.log", (0, 0))
    logs.tidy(())
    assert "old logs of applications are not removed" in caplog.text
