"""What goes wrong with a file is an instruction."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from tulle.store.protocol import Unavailable
from tulle.store.sqlite_file import open_file, translated

PATH = Path("/state/tulle.db")


@pytest.mark.parametrize(
    ("number", "instruction"),
    [
        (errno.ENOSPC, "the disk of /state/tulle.db is full (No space left on device). Free some space"),
        (errno.EROFS, "Make its file system and directory writable"),
        (errno.EACCES, "Check whom the file and its directory belong to"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_errors_of_the_file_system(number: int, instruction: str) -> None:
    with pytest.raises(Unavailable) as caught, translated(PATH):
        raise OSError(number, os.strerror(number))
    assert instruction in str(caught.value)


def test_errors_of_sqlite() -> None:
    with pytest.raises(Unavailable, match="cannot be read or written"), translated(PATH):
        raise sqlite3.OperationalError("something new")


def test_a_read_only_connection(tmp_path: Path) -> None:
    file = open_file(tmp_path / "tulle.db")
    with pytest.raises(Unavailable, match="cannot be written"), translated(file.path):
        file.reader.execute("DELETE FROM objects")
    file.close()


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(Unavailable, match="Check"):
        open_file(tmp_path / "state" / "tulle.db")


def test_what_a_refused_start_leaves_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "tulle.db").touch(mode=0o600)
    for _ in range(2):
        with pytest.raises(Unavailable, match="it is empty"):
            open_file(tmp_path / "tulle.db")
    (tmp_path / "tulle.db").unlink()
    open_file(tmp_path / "tulle.db").close()


def test_a_start_that_was_killed_half_way_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "tulle.db.new").write_bytes(b"half")
    open_file(tmp_path / "tulle.db").close()
    assert [file.name for file in tmp_path.iterdir()] == ["tulle.db"]
