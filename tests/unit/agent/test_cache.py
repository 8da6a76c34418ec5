"""The cache gives back what was saved, or nothing; never something else."""

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.agent.cache import CacheContents, CacheFile, WriteBehind, _decode, _encode

CONTENTS = CacheContents(
    good={"type/Cluster": {"a": b"\x00wire", "b": b""}},
    unproven={"type/Cluster": {"a": b"newer"}},
    roots={"type/Cluster": ("a",)},
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / "cache" / "p.xds")
    assert file.load() == (CacheContents(), None)
    file.save(CONTENTS)
    assert file.load() == (CONTENTS, None)
    assert stat.S_IMODE((tmp_path / "cache" / "p.xds").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["p.xds"]
    file.delete()
    assert file.load() == (CacheContents(), None)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_passes(position: int, change: int) -> None:
    data = bytearray(_encode(CONTENTS))
    data[position % len(data)] ^= change
    with pytest.raises(ValueError):
        _decode(bytes(data))


@given(st.integers(min_value=0))
def test_no_part_passes(length: int) -> None:
    data = _encode(CONTENTS)
    with pytest.raises(ValueError):
        _decode(data[: length % len(data)])


def test_a_damaged_file_is_absent_reported_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "p.xds"
    CacheFile(path).save(CONTENTS)
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    contents, problem = CacheFile(path).load()
    assert contents == CacheContents()
    assert problem is not None
    assert (problem.file, problem.message) == (str(path), "the configuration cache is not used: its checksum is wrong")
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert CacheFile(path).load() == (CacheContents(), None)


def test_a_file_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "p.xds"
    CacheFile(path).save(CONTENTS)
    path.chmod(0o666)
    contents, problem = CacheFile(path).load()
    assert contents == CacheContents()
    assert problem is not None
    assert "is open to other users (mode 0666)" in problem.message
    assert path.with_suffix(".damaged").exists()


async def test_changes_are_saved_behind(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / "p.xds")
    writer = WriteBehind(file, lambda: CONTENTS, delay=0)
    running = asyncio.create_task(writer.run())
    writer.changed()
    while file.load() != (CONTENTS, None):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])


async def test_what_is_unsaved_is_saved_at_the_end(tmp_path: Path) -> None:
    file = CacheFile(tmp_path / "p.xds")
    writer = WriteBehind(file, lambda: CONTENTS, delay=3600)
    running = asyncio.create_task(writer.run())
    writer.changed()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert file.load() == (CONTENTS, None)


async def test_a_failed_save_is_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("not a directory")
    file = CacheFile(blocked / "p.xds")
    writer = WriteBehind(file, lambda: CONTENTS, delay=0, retry=0)
    running = asyncio.create_task(writer.run())
    writer.changed()
    await asyncio.sleep(0.05)
    blocked.unlink()
    while not blocked.is_dir() or file.load() != (CONTENTS, None):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
