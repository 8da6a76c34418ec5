"""SqliteStore passes the shared suite, keeps what it was given, and refuses what it cannot trust."""

import asyncio
import resource
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.unit.store.suite import Clock, StoreSuite, ref

from tulle.store.limits import Limits
from tulle.store.protocol import Delete, Put, Unavailable
from tulle.store.sqlite import SqliteStore


class TestSqliteStore(StoreSuite):
    @asynccontextmanager
    async def opened(self, limits: Limits) -> AsyncIterator[SqliteStore]:
        with TemporaryDirectory() as directory:
            store = SqliteStore(Path(directory, "tulle.db"), limits, Clock())
            yield store
            await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control" / "tulle.db"


async def filled(path: Path, count: int = 50) -> None:
    store = SqliteStore(path)
    for number in range(count):
        await store.write([Put(ref(f"n{number}"), b"x" * 1000)])
    await store.close()


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    store = SqliteStore(path)
    await store.write([Put(ref("a"), b"1"), Put(ref("b"), b"\x00\xff")])
    await store.write([Put(ref("a"), b"2"), Delete(ref("b"))])
    listing, history = await store.list(), await store.history(ref("a"))
    await store.close()

    store = SqliteStore(path)
    assert await store.list() == listing
    assert await store.history(ref("a")) == history
    assert (await anext(store.watch(0)))[0].revision == 1
    (event,) = await store.write([Put(ref("c"), b"1")])
    assert event.revision == 3
    await store.close()


async def test_only_its_user_can_read_it(path: Path) -> None:
    store = SqliteStore(path)
    await store.write([Put(ref("a"), b"1")])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"tulle.db", "tulle.db-wal", "tulle.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["tulle.db"]


async def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    await filled(path, 1)
    path.chmod(0o644)
    store = SqliteStore(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


def test_a_directory_that_others_can_read_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o755)
    with pytest.raises(Unavailable, match=f"chmod 700 {path.parent}"):
        SqliteStore(path)
    assert list(path.parent.iterdir()) == []


async def test_two_control_planes_never_share_a_file(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(Unavailable, match="another process"):
        SqliteStore(path)
    await store.close()
    await SqliteStore(path).close()


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await filled(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 3 WHERE name = 'schema'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"newer Tulle \(schema 3; this one knows 2\)"):
        SqliteStore(path)
    assert path.read_bytes() == before


def as_schema_1(path: Path) -> None:
    """Makes the file what the version before wrote."""
    with sqlite3.connect(path) as connection:
        for table in ("objects", "events"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN generation")
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'schema'")
    connection.close()


async def test_a_file_of_the_schema_before_is_brought_up_to_date(path: Path) -> None:
    store = SqliteStore(path)
    for number in range(3):
        await store.write([Put(ref("a"), b'{"spec":%d}' % number)])
    before = await store.get(ref("a"))
    await store.close()
    as_schema_1(path)
    store = SqliteStore(path)
    # Until then the revision was shown as the generation, which must not go back.
    assert await store.get(ref("a")) == before
    assert before is not None and before.generation == before.revision == 3
    assert [e.stored and e.stored.generation for e in await store.history(ref("a"))] == [3, 2, 1]
    (event,) = await store.write([Put(ref("a"), b'{"spec":9}')])
    assert event.stored is not None and event.stored.generation == 4
    await store.close()
    await SqliteStore(path).close()


async def test_a_file_that_cannot_be_brought_up_to_date_stays_as_it_is(path: Path) -> None:
    await filled(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'schema'")  # and yet it has the new columns
    connection.close()
    with pytest.raises(Unavailable, match="cannot be read or written"):
        SqliteStore(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (1,)
    connection.close()


async def test_somebody_else_s_database_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mail (body TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="no Tulle store"):
        SqliteStore(path)
    assert path.read_bytes() == before


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def not_a_database(content: bytes) -> bytes:
    return b"\x00" * len(content)


def scribbled(content: bytes) -> bytes:
    return content[:4096] + b"\xa5" * (len(content) - 4096)


@pytest.mark.parametrize("damage", [emptied, cut, not_a_database, scribbled])
async def test_a_damaged_file_is_refused_and_kept(path: Path, damage: Callable[[bytes], bytes]) -> None:
    await filled(path)
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="copy a backup"):
        SqliteStore(path)
    assert path.read_bytes() == before


async def test_a_log_without_its_file_is_refused(path: Path) -> None:
    await filled(path, 1)
    path.rename(path.with_name("tulle.db-wal"))
    with pytest.raises(Unavailable, match="missing"):
        SqliteStore(path)


async def test_damage_while_running_is_an_instruction(path: Path) -> None:
    await filled(path)
    store = SqliteStore(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(Unavailable, match="copy a backup"):
        await store.list()
    await store.close()


@pytest.fixture
def no_space(path: Path) -> Iterator[None]:
    """As on a full disk, no file of this process may grow any more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("no_space")
async def test_reads_go_on_when_writes_cannot(path: Path) -> None:
    store = SqliteStore(path)
    await store.write([Put(ref("small"), b"1")])
    before = await store.list()
    with pytest.raises(Unavailable, match="space"):
        await store.write([Put(ref("other"), b"1"), Put(ref("large"), b"x" * 1_000_000)])
    assert await store.list() == before
    assert [events[0].revision async for events in _first(store)] == [1]
    await store.write([Put(ref("small"), b"2")])
    await store.close()


async def _first(store: SqliteStore) -> AsyncIterator[tuple[object, ...]]:
    yield await anext(store.watch(0))


async def test_writes_at_the_same_time_share_a_transaction(path: Path) -> None:
    store = SqliteStore(path)
    results = await asyncio.gather(
        *(store.write([Put(ref(f"n{number}"), b"", expected=number % 2)]) for number in range(100)),
        return_exceptions=True,
    )
    written = [result for result in results if isinstance(result, tuple)]
    assert sorted(events[0].revision for events in written) == list(range(1, 51))
    assert {type(result).__name__ for result in results} == {"tuple", "Conflict"}
    await store.close()


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    await store.close()
    await store.close()
    for call in (store.get(ref("a")), store.list(), store.write([Put(ref("a"), b"")]), store.history(ref("a"))):
        with pytest.raises(Unavailable, match="closed"):
            await call
