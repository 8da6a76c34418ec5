"""A control plane killed under writes: every acknowledged write is there, and no write is there by half."""

import random
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from tulle.model.names import ObjectRef
from tulle.store.sqlite import SqliteStore

ROUNDS = 25
WRITER = Path(__file__).with_name("killed_writer.py")


class Acknowledged(Struct, frozen=True):
    body: bytes
    revision: int


def write_until_killed(path: Path, round_: int, acknowledgements: int) -> dict[tuple[str, str], Acknowledged]:
    """The newest acknowledged write of each pair of objects; the writer is killed some time after so many."""
    newest: dict[tuple[str, str], Acknowledged] = {}
    command = [sys.executable, str(WRITER), str(path), str(round_)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for count, line in enumerate(process.stdout, 1):
                if count == acknowledgements:
                    process.kill()  # what it acknowledged until it died is still read
                if not line.endswith(b"\n"):
                    break
                writer, pair, body, revision = line.split()
                newest[f"w{writer.decode()}", pair.decode()] = Acknowledged(body, int(revision))
        finally:
            process.kill()
    return newest


async def test_every_acknowledged_write_is_there(tmp_path: Path) -> None:
    path = tmp_path / "tulle.db"
    chance = random.Random(1)
    before = 0
    for round_ in range(ROUNDS):
        acknowledged = write_until_killed(path, round_, chance.randrange(1, 200))
        store = SqliteStore(path)
        listing = await store.list()
        found = {stored.ref: stored for stored in listing.items}
        assert acknowledged
        for (namespace, pair), write in acknowledged.items():
            halves = [found[ObjectRef("v1", "Service", namespace, f"{pair}-{half}")] for half in "ab"]
            assert halves[0].revision >= write.revision > before
            if halves[0].revision == write.revision:
                assert halves[0].body == write.body
        for stored in listing.items:
            other = stored.ref.name[:-1] + ("b" if stored.ref.name.endswith("a") else "a")
            half = found[ObjectRef("v1", "Service", stored.ref.namespace, other)]
            assert (half.body, half.revision) == (stored.body, stored.revision)
        before = listing.revision
        await store.close()
