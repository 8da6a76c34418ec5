"""The files of a proxy: names that fit, private modes, damaged state as none."""

import os
import stat
from pathlib import Path

import pytest

from tulle.agent.proxy_directory import ProxyDirectory
from tulle.model.names import ProxyId, WorkloadName

USER = 65530


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_short_names_are_the_proxy_id() -> None:
    assert ProxyDirectory.of(Path("/run"), ProxyId("n1")).path == Path("/run/proxies/node~n1")


def test_long_names_fit_a_socket_and_stay_apart() -> None:
    def admin(workload: str) -> Path:
        return ProxyDirectory.of(
            Path("/run/user/1000/tulle"), ProxyId("n" * 63, WorkloadName("s" * 63, workload))
        ).admin

    assert len(str(admin("w" * 63))) <= 107
    assert admin("w" * 63) != admin("v" * 63)


def test_files_are_private(tmp_path: Path) -> None:
    directory = ProxyDirectory.of(tmp_path / "run", ProxyId("n1"))
    directory.make()
    directory.write_bootstrap(b"{}")
    assert mode(directory.path) == mode(directory.path.parent) == 0o700
    assert mode(directory.bootstrap) == 0o600
    assert directory.bootstrap.read_bytes() == b"{}"


def test_the_admin_socket_is_found_under_the_name_that_people_know(tmp_path: Path) -> None:
    directory = ProxyDirectory.of(tmp_path / "run", ProxyId("n1"))
    directory.path.mkdir(parents=True, mode=0o700)
    (directory.path / "admin.sock").touch()  # whatever stands there
    for _ in range(2):
        directory.make()
    directory.admin.touch()
    assert (directory.path / "admin.sock").samefile(directory.admin)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away; run as root")
def test_another_users_proxy_may_write_into_one_directory_only(tmp_path: Path) -> None:
    directory = ProxyDirectory.of(tmp_path / "run", ProxyId("n1"))
    for _ in range(2):
        directory.make(USER)
        directory.write_bootstrap(b"{}", USER)
    for path in (directory.path.parent, directory.path):
        status = path.stat()
        assert (mode(path), status.st_uid, status.st_gid) == (0o710, 0, USER)
    for path, wanted in ((directory.bootstrap, 0o600), (directory.admin.parent, 0o700)):
        assert (mode(path), path.stat().st_uid) == (wanted, USER)
    directory.make()
    assert directory.admin.parent.stat().st_uid == 0


def test_damaged_state_is_no_state(tmp_path: Path) -> None:
    directory = ProxyDirectory(tmp_path)
    assert directory.read_state() is None
    for damaged in (b'{"proxy": ', b'{"proxy": "\xff"}'):
        directory.state.write_bytes(damaged)
        assert directory.read_state() is None


def test_a_long_log_is_turned_over(tmp_path: Path) -> None:
    directory = ProxyDirectory(tmp_path)
    directory.turn_log_over(limit=4)
    directory.log.write_text("12345")
    directory.turn_log_over(limit=5)
    assert directory.log.read_text() == "12345"
    directory.turn_log_over(limit=4)
    assert directory.log.read_text() == ""
    assert (tmp_path / "log.1").read_text() == "2345"  # a proxy may have written any amount
    assert mode(tmp_path / "log.1") == 0o600
