"""Keeps what users declared: objects with revisions, optimistic concurrency, history and watches."""

from tulle.store.limits import Limits
from tulle.store.memory import MemoryStore
from tulle.store.open import open_store
from tulle.store.protocol import (
    Compacted,
    Conflict,
    Delete,
    Event,
    Listing,
    NotFound,
    Put,
    Store,
    Stored,
    StoreError,
    Unavailable,
)
from tulle.store.sqlite import SqliteStore

__all__ = [
    "Compacted",
    "Conflict",
    "Delete",
    "Event",
    "Limits",
    "Listing",
    "MemoryStore",
    "NotFound",
    "Put",
    "SqliteStore",
    "Store",
    "StoreError",
    "Stored",
    "Unavailable",
    "open_store",
]
