import os
import pwd
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


@only_root
def test_the_owner_of_the_working_directory_comes_first_in_no_other_group(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY.pw_uid, 0)
    assert ordinary_user(1000, tmp_path) == RunAs(NOBODY.pw_uid, NOBODY.pw_gid)
    os.chown(tmp_path, UNKNOWN, UNKNOWN + 1)
    assert ordinary_user(1000, tmp_path) == RunAs(UNKNOWN, UNKNOWN + 1)


def test_then_who_became_root_then_nobody() -> None:
    assert ordinary_user(NOBODY.pw_uid, Path("/")) == RunAs(NOBODY.pw_uid, NOBODY.pw_gid)
    assert ordinary_user(0, Path("/")) is None
    assert ordinary_user(NOBODY.pw_uid, Path("/no/such/directory")) is None


def test_a_user_knows_who_it_is() -> None:
    assert user_environment(named_user("nobody")) == {"HOME": NOBODY.pw_dir, "USER": "nobody"}
    assert user_environment(RunAs(UNKNOWN, UNKNOWN)) == {"HOME": "/", "USER": str(UNKNOWN)}
    assert user_environment(None) == {}
