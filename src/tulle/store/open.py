"""Opens the store that a URL names, so that a setting decides and nobody else has to know."""

from pathlib import Path

from tulle.store.memory import MemoryStore
from tulle.store.protocol import Store
from tulle.store.sqlite import SqliteStore


def open_store(url: str) -> Store:
    """`memory:` or `sqlite:<path>`. Raises ValueError for any other URL, Unavailable where it cannot be opened."""
    match url.partition(":"):
        case ("memory", ":", ""):
            return MemoryStore()
        case ("sqlite", ":", path) if path:
            return SqliteStore(Path(path))
    raise ValueError(f"{url!r} is no store; write sqlite:/path/to/file.db or memory:")
