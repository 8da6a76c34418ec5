import os
import socket
import stat
from pathlib import Path

import pytest

from tulle.identity.private_socket import bind_private


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_socket_is_its_owners_whatever_the_umask(tmp_path: Path, umask: None):
    with bind_private(tmp_path / "s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_socket_takes_the_place_of_what_an_earlier_process_left(tmp_path: Path):
    for left in (lambda: bind_private(tmp_path / "s").close(), lambda: (tmp_path / "s").touch()):
        left()
        with bind_private(tmp_path / "s") as bound:
            bound.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "s"))


def test_a_place_that_cannot_be_is_an_error(tmp_path: Path):
    with pytest.raises(OSError):
        bind_private(tmp_path / "nowhere" / "s")
