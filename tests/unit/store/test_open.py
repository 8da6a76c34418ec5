"""A store's URL decides which one is opened."""

from pathlib import Path

import pytest

from tulle.store import MemoryStore, SqliteStore, open_store


def test_memory() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


async def test_sqlite(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/tulle.db")
    assert isinstance(store, SqliteStore)
    await store.close()
    assert (tmp_path / "tulle.db").exists()


@pytest.mark.parametrize("url", ["", "memory", "memory:x", "sqlite:", "postgres://db", "/tmp/tulle.db"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:"):
        open_store(url)
