"""A control plane's API on a real socket, where the commands look for it."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.fakes.told_backend import ToldBackend
from typer.testing import CliRunner, Result

from tulle.api.app import create_api
from tulle.api.guard import Access
from tulle.cli.app import app
from tulle.store.memory import MemoryStore

Run = Callable[..., Result]


class Started(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.listening.set()


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToldBackend]:
    ticks = itertools.count(1_700_000_000)
    fake = ToldBackend(MemoryStore(clock=lambda: float(next(ticks))))
    api = create_api(fake, Access(token=None), lambda line: None)
    server = Started(uvicorn.Config(api, uds=str(tmp_path / "api.sock"), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    monkeypatch.setenv("TULLE_RUN_DIR", str(tmp_path))
    try:
        assert server.listening.wait(10)
        yield fake
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return invoke
