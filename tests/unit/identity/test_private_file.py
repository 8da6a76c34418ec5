import os
from pathlib import Path

import pytest

from tulle.identity.errors import InUse, UnsafeFile
from tulle.identity.private_file import (
    create_private,
    let_through,
    lock_alone,
    make_private_directory,
    read_private,
    write_private,
)


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_files_are_for_their_owner_whatever_the_umask(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        make_private_directory(tmp_path / "a" / "b")
        write_private(tmp_path / "a" / "b" / "key", b"1")
        write_private(tmp_path / "a" / "b" / "key", b"2")
        create_private(tmp_path / "a" / "b" / "new", b"3")
    finally:
        os.umask(before)
    assert read_private(tmp_path / "a" / "b" / "key") == b"2"
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {
        "a": 0o700,
        "b": 0o700,
        "key": 0o600,
        "new": 0o600,
    }


def test_a_group_that_is_let_through_stays_let_through_and_no_other_is(tmp_path: Path):
    directory = tmp_path / "run"
    make_private_directory(directory)
    let_through(directory, os.getgid())
    make_private_directory(directory)
    assert directory.stat().st_mode & 0o777 == 0o710
    for mode in (0o720, 0o740, 0o711):
        directory.chmod(mode)
        with pytest.raises(UnsafeFile, match="chmod 700"):
            make_private_directory(directory)


def test_a_file_is_created_once_and_leaves_nothing_else(tmp_path: Path):
    create_private(tmp_path / "key", b"1")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "key", b"2")
    assert read_private(tmp_path / "key") == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_write_replaces_a_link_and_not_what_it_points_to(tmp_path: Path):
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "key").symlink_to("other")
    write_private(tmp_path / "key", b"mine")
    assert (tmp_path / "other").read_bytes() == b"theirs"
    assert read_private(tmp_path / "key") == b"mine"


def test_what_cannot_be_safe_is_refused(tmp_path: Path):
    write_private(tmp_path / "key", b"1")
    (tmp_path / "link").symlink_to("key")
    (tmp_path / "directory").mkdir(mode=0o700)
    (tmp_path / "file").touch(mode=0o600)
    for path in ("link", "directory"):
        with pytest.raises(UnsafeFile):
            read_private(tmp_path / path)
    with pytest.raises(UnsafeFile):
        make_private_directory(tmp_path / "file")
    (tmp_path / "key").chmod(0o604)
    with pytest.raises(UnsafeFile, match="chmod 600"):
        read_private(tmp_path / "key")
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "nothing")


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path):
    held = lock_alone(tmp_path / "agent.lock", "an agent")
    with pytest.raises(InUse, match=f"^an agent runs in {tmp_path} already$"):
        lock_alone(tmp_path / "agent.lock", "an agent")
    os.close(held)
    os.close(lock_alone(tmp_path / "agent.lock", "an agent"))
    assert (tmp_path / "agent.lock").stat().st_mode & 0o777 == 0o600
