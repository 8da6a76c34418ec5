import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tulle.agent.app_user import named_user, ordinary_user, user_environment
from tulle.agent.capture.launch import RunAs
from tulle.agent.capture.process import LaunchError

NOBODY = pwd.getpwnam("nobody")
UNKNOWN = 54321

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away; run as root")


def test_users_have_names_and_numbers() -> None:
    assert named_user("nobody") == named_user(str(NOBODY.pw_uid))
    assert named_user("nobody").uid == NOBODY.pw_uid
    for name in ("no-such-user", str(UNKNOWN), "9" * 30):
        with pytest.raises(LaunchError, match="runAs"):
            named_user(name)


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that everybody gets to, which pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


def who(invoker: int, directory: Path, program: str = "sh") -> RunAs | None:
    return ordinary_user(invoker, directory, program, "/usr/bin:/bin")


@only_root
def test_the_owner_of_the_working_directory_comes_first_in_no_other_group(directory: Path) -> None:
    os.chown(directory, NOBODY.pw_uid, 0)
    assert who(UNKNOWN, directory) == RunAs(NOBODY.pw_uid, NOBODY.pw_gid)
    os.chown(directory, UNKNOWN, UNKNOWN + 1)
    assert who(NOBODY.pw_uid, directory) == RunAs(UNKNOWN, UNKNOWN + 1)


def test_then_who_became_root_then_nobody() -> None:
    assert who(NOBODY.pw_uid, Path("/")) == RunAs(NOBODY.pw_uid, NOBODY.pw_gid)
    assert who(0, Path("/")) is None
    assert who(NOBODY.pw_uid, Path("/no/such/directory")) is None


@only_root
def test_who_cannot_get_at_the_program_is_passed_over(directory: Path) -> None:
    program, link = directory / "closed" / "program", directory / "link"
    program.parent.mkdir(mode=0o700)
    program.touch(mode=0o755)
    link.symlink_to(program)
    os.chown(directory, NOBODY.pw_uid, 0)
    for name in ("closed/program", "./link", str(link)):
        assert who(0, directory, name) is None
    program.parent.chmod(0o755)
    assert who(0, directory, "./link") == RunAs(NOBODY.pw_uid, NOBODY.pw_gid)
    program.chmod(0o644)
    assert who(0, directory, "./link") is None


@only_root
def test_who_cannot_get_at_the_directory_is_passed_over(directory: Path) -> None:
    work = directory / "work"
    work.mkdir()
    os.chown(work, NOBODY.pw_uid, 0)
    directory.chmod(0o700)
    assert who(0, work) is None


def test_a_user_knows_who_it_is() -> None:
    assert user_environment(named_user("nobody")) == {"HOME": NOBODY.pw_dir, "USER": "nobody"}
    assert user_environment(RunAs(UNKNOWN, UNKNOWN)) == {"HOME": "/", "USER": str(UNKNOWN)}
    assert user_environment(None) == {}
