"""`-f` finds what it names."""

from pathlib import Path

import pytest

from tulle.cli.errors import Failure
from tulle.cli.files import read_files


def test_directories_are_read_to_the_bottom_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.yaml", "notes.txt", ".hidden/d.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [file.text for file in read_files([str(tmp_path)])] == ["a.yml", "b.yaml", "sub/c.yaml"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a")
    assert len(read_files([str(tmp_path / "a.yaml"), str(tmp_path)])) == 1


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        read_files([str(tmp_path / "missing.yaml")])
    with pytest.raises(Failure, match="no file"):
        read_files([str(tmp_path)])
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    with pytest.raises(Failure, match="UTF-8"):
        read_files([str(tmp_path)])
