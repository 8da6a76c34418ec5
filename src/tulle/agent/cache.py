"""Keeps on disk what a proxy was last configured with, so that it serves again while the control plane is away.

One file per proxy: a line that names the format, the SHA-256 of the rest, the rest as MessagePack. A file is replaced
as a whole or not at all; one that is damaged, or that others could have written, counts as absent, is reported, and is
kept aside for a look at it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from tulle.identity.errors import UnsafeFile
from tulle.identity.private_file import make_private_directory, read_private, write_private
from tulle.model.problem import Problem

_log = logging.getLogger(__name__)

_FORMAT = b"tulle xds cache 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class CacheContents(Struct, frozen=True):
    """What a proxy was configured with: type URL -> name -> the `wire` of the resource.

    `good` is what the proxy took, `unproven` what arrived while it was away; `roots` are the names that the control
    plane gave for the wildcard, so that the same can be given without it.
    """

    good: Mapping[str, Mapping[str, bytes]] = {}
    unproven: Mapping[str, Mapping[str, bytes]] = {}
    roots: Mapping[str, tuple[str, ...]] = {}


class CacheFile:
    """The cache of one proxy at `path`, with mode 0600 in a directory of mode 0700."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[CacheContents, Problem | None]:
        """What was saved, or nothing; and what was wrong with the file, if it was damaged or others could write it."""
        try:
            return _decode(read_private(self._path)), None
        except FileNotFoundError:
            return CacheContents(), None
        except (ValueError, UnsafeFile) as error:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            _log.error("the configuration cache %s is not used (%s); it is kept as %s", self._path, error, aside)
            return CacheContents(), Problem(
                path="",
                message=f"the configuration cache is not used: {error}",
                hint=f"it is kept as {aside}; the control plane sends the configuration again",
                file=str(self._path),
            )

    def save(self, contents: CacheContents) -> None:
        """Replaces the file; a crash leaves the old one or the new one. Raises OSError, UnsafeFile."""
        make_private_directory(self._path.parent)
        write_private(self._path, _encode(contents))

    def delete(self) -> None:
        """Forgets a proxy that is gone."""
        self._path.unlink(missing_ok=True)


class WriteBehind:
    """Saves the newest contents at most `delay` seconds after they changed, in a thread, one save at a time.

    A save that fails is tried again with the next change, or after `retry` seconds; serving goes on meanwhile.
    """

    def __init__(
        self, file: CacheFile, contents: Callable[[], CacheContents], delay: float = 0.5, retry: float = 10
    ) -> None:
        self._file = file
        self._contents = contents
        self._delay = delay
        self._retry = retry
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Saves until cancelled, then once more if something is unsaved."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(self._delay)
                if not await self._save():
                    await asyncio.sleep(self._retry)
        finally:
            if self._changed.is_set():
                self._save_now(self._contents())

    async def _save(self) -> bool:
        self._changed.clear()
        # Shielded: a save that is cancelled half-way would go on in its thread beside the last one.
        saving = asyncio.ensure_future(asyncio.to_thread(self._save_now, self._contents()))
        try:
            saved = await asyncio.shield(saving)
        except asyncio.CancelledError:
            await saving
            raise
        if not saved:
            self._changed.set()
        return saved

    def _save_now(self, contents: CacheContents) -> bool:
        try:
            self._file.save(contents)
        except (OSError, UnsafeFile) as error:
            _log.error("the configuration cache cannot be written: %s", error)
            return False
        return True


def _encode(contents: CacheContents) -> bytes:
    body = msgspec.msgpack.encode(contents)
    return _FORMAT + hashlib.sha256(body).digest() + body


def _decode(data: bytes) -> CacheContents:
    """Raises ValueError."""
    if not data.startswith(_FORMAT):
        raise ValueError("it is of no known format")
    digest, body = data[len(_FORMAT) :][:_DIGEST_BYTES], data[len(_FORMAT) + _DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("its checksum is wrong")
    return msgspec.msgpack.decode(body, type=CacheContents)
