"""Real Envoys are started, adopted, restarted and ended; there is never a second one."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tulle.agent.app import PROXY_USER
from tulle.agent.envoy_binary import find
from tulle.agent.envoy_command import EnvoyCommand
from tulle.agent.proxy_directory import ProxyDirectory
from tulle.agent.proxy_keeper import ProxyStatus, SuperviseLimits
from tulle.agent.restart_policy import HangLimits, RestartLimits
from tulle.agent.supervise import Supervisor
from tulle.identity.private_file import let_through
from tulle.model.names import ProxyId, WorkloadName

pytestmark = pytest.mark.e2e

PROXY = ProxyId("n1", WorkloadName("shop", "catalog-1"))
QUICK = SuperviseLimits(
    restart=RestartLimits(first_delay=0.1, longest_delay=0.2, healthy_after=60),
    hang=HangLimits(failures=2, grace=2),  # a busy host starts an Envoy slowly
    probe_every=0.2,
    probe_timeout=0.5,
    drain=10,
    terminate=5,
)


def bootstrap(run_dir: Path, port: int = 0) -> Callable[[ProxyId], bytes]:
    """A static Envoy with an echo listener."""

    def of(proxy: ProxyId) -> bytes:
        admin = ProxyDirectory.of(run_dir, proxy).admin
        echo = {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}
        chain = {"filters": [{"name": "envoy.filters.network.echo", "typed_config": echo}]}
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        listener = {"name": "echo", "address": address, "filter_chains": [chain]}
        return json.dumps(
            {
                "node": {"id": str(proxy), "cluster": "test"},
                "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
                "static_resources": {"listeners": [listener]},
            }
        ).encode()

    return of


def command(run_dir: Path, port: int = 0) -> EnvoyCommand:
    return EnvoyCommand(find({}).path, bootstrap(run_dir, port), drain_seconds=1)


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """Ends what is left of the test's proxies, by what their directories say."""
    yield tmp_path
    for state in tmp_path.glob("proxies/*/process.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(state.read_text())["process"]["pid"], signal.SIGKILL)


@contextlib.asynccontextmanager
async def supervising(run_dir: Path, port: int = 0) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(run_dir, command(run_dir, port), QUICK)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        running.cancel()
        await asyncio.wait([running])


async def status(supervisor: Supervisor, holds: Callable[[ProxyStatus], bool]) -> ProxyStatus:
    async with asyncio.timeout(30):
        while True:
            for found in supervisor.statuses():
                if holds(found):
                    return found
            await asyncio.sleep(0.02)


def envoys(run_dir: Path) -> list[int]:
    """The processes whose command names the run directory, zombies not counted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if f"{run_dir}/proxies" in path.read_text():
                found.append(int(path.parent.name))
    return found


async def test_started_private_and_ended(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        live = await status(supervisor, lambda s: s.phase == "live")
        assert live.restarts == 0
        assert envoys(run_dir) == [live.pid]
        directory = ProxyDirectory.of(run_dir, PROXY)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.path.iterdir()}
        assert modes.pop("admin") == 0o700
        assert set(modes.values()) == {0o600}, modes
        assert {"admin.sock", "bootstrap.json", "log", "process.json"} <= set(modes)
        assert os.getsid(live.pid or 0) == live.pid
        await supervisor.stop_all()
        assert supervisor.statuses() == ()
        assert envoys(run_dir) == []
        assert not directory.path.exists()


async def test_open_connections_end_by_themselves_before_a_proxy_does(run_dir: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    async with supervising(run_dir, port) as supervisor:
        supervisor.want({PROXY})
        live = await status(supervisor, lambda s: s.phase == "live")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"before\n")
        assert await reader.readline() == b"before\n"
        stopping = asyncio.create_task(supervisor.stop_all())
        await status(supervisor, lambda s: s.phase == "draining")
        async with asyncio.timeout(30):
            while await accepts(port):
                await asyncio.sleep(0.05)
        writer.write(b"meanwhile\n")
        assert await reader.readline() == b"meanwhile\n"
        assert envoys(run_dir) == [live.pid]
        writer.close()
        await stopping
        assert envoys(run_dir) == []


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_killed_is_started_again_and_counted(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        first = await status(supervisor, lambda s: s.phase == "live")
        os.kill(first.pid or 0, signal.SIGSEGV)
        second = await status(supervisor, lambda s: s.phase == "live" and s.pid != first.pid)
        assert second.restarts == 1
        assert second.last_end == "was ended by SIGSEGV"
        await supervisor.stop_all()


async def test_hung_is_killed_and_started_again(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        first = await status(supervisor, lambda s: s.phase == "live")
        os.kill(first.pid or 0, signal.SIGSTOP)
        second = await status(supervisor, lambda s: s.phase == "live" and s.pid != first.pid)
        assert "did not answer" in second.last_end
        assert envoys(run_dir) == [second.pid]
        await supervisor.stop_all()


async def test_an_agent_that_ends_leaves_them_running_and_the_next_adopts(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        first = await status(supervisor, lambda s: s.phase == "live")
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        second = await status(supervisor, lambda s: s.phase == "live")
        assert (second.pid, second.adopted, second.restarts) == (first.pid, True, 0)
        assert envoys(run_dir) == [first.pid]
        await supervisor.stop_all()
        assert envoys(run_dir) == []


AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_supervise import PROXY, status, supervising
async def main():
    async with supervising(Path(sys.argv[1])) as supervisor:
        supervisor.want({{PROXY}})
        live = await status(supervisor, lambda s: s.phase == "live")
        print(live.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_killed_agent_leaves_them_running_and_the_next_adopts(run_dir: Path) -> None:
    program = AGENT.format(here=str(Path(__file__).parent))
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(run_dir), stdout=subprocess.PIPE, start_new_session=True
    )
    assert agent.stdout is not None
    first = int(await agent.stdout.readline())
    os.killpg(agent.pid, signal.SIGKILL)
    await agent.wait()
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        live = await status(supervisor, lambda s: s.phase == "live")
        assert (live.pid, live.adopted) == (first, True)
        await supervisor.stop_all()
        assert envoys(run_dir) == []


async def test_what_is_no_longer_wanted_is_ended_by_the_next_agent(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        await status(supervisor, lambda s: s.phase == "live")
    async with supervising(run_dir) as supervisor:
        supervisor.want({ProxyId("n1")})
        live = await status(supervisor, lambda s: s.proxy == ProxyId("n1") and s.phase == "live")
        async with asyncio.timeout(30):
            while envoys(run_dir) != [live.pid]:
                await asyncio.sleep(0.05)
        await supervisor.stop_all()


async def test_what_died_meanwhile_and_is_no_longer_wanted_leaves_no_files(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        live = await status(supervisor, lambda s: s.phase == "live")
    assert live.pid is not None
    os.kill(live.pid, signal.SIGKILL)
    os.waitpid(live.pid, 0)
    directory = ProxyDirectory.of(run_dir, PROXY)
    assert directory.admin.exists()
    async with supervising(run_dir) as supervisor, asyncio.timeout(30):
        supervisor.want(())
        while directory.path.exists():
            await asyncio.sleep(0.02)


async def test_never_two_even_without_the_state_file(run_dir: Path) -> None:
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        first = await status(supervisor, lambda s: s.phase == "live")
    state = ProxyDirectory.of(run_dir, PROXY).state
    known = state.read_text()
    state.unlink()
    async with supervising(run_dir) as supervisor:
        supervisor.want({PROXY})
        await status(supervisor, lambda s: s.last_end == "found another proxy in its place")
        assert envoys(run_dir) == [first.pid]
        state.write_text(known)
        live = await status(supervisor, lambda s: s.phase == "live")
        assert live.pid == first.pid
        await supervisor.stop_all()


async def test_what_cannot_start_backs_off_and_says_why(run_dir: Path) -> None:
    broken = EnvoyCommand(find({}).path, lambda _: b'{"admin": 1}')
    supervisor = Supervisor(run_dir, broken, QUICK)
    running = asyncio.create_task(supervisor.run())
    supervisor.want({PROXY})
    failing = await status(supervisor, lambda s: s.restarts >= 2)
    assert failing.last_end == "ended with status 1"
    assert "admin" in ProxyDirectory.of(run_dir, PROXY).log.read_text()
    await supervisor.stop_all()
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="making a network namespace needs root")
async def test_in_a_network_namespace(run_dir: Path) -> None:
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"], start_new_session=True)
    try:
        namespace = Path(f"/proc/{holder.pid}/ns/net")
        async with asyncio.timeout(10):
            while namespace.stat().st_ino == Path("/proc/self/ns/net").stat().st_ino:
                await asyncio.sleep(0.01)
        inside = EnvoyCommand(find({}).path, bootstrap(run_dir), network_of=lambda _: namespace)
        supervisor = Supervisor(run_dir, inside, QUICK)
        running = asyncio.create_task(supervisor.run())
        supervisor.want({PROXY})
        # `lo` is down in there and has no address; Envoy starts all the same and says so in its log.
        found = await status(supervisor, lambda s: s.phase in ("live", "backing-off"))
        if found.pid:
            assert Path(f"/proc/{found.pid}/ns/net").stat().st_ino == namespace.stat().st_ino
        await supervisor.stop_all()
        running.cancel()
        await asyncio.wait([running])
    finally:
        holder.kill()
        holder.wait()


@pytest.fixture
def open_run_dir() -> Iterator[Path]:
    """Below a directory that other users get through, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="tulle-", dir="/tmp") as name:
        run_dir = Path(name)
        let_through(run_dir, PROXY_USER)
        yield run_dir
        for pid in envoys(run_dir):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away; run as root")
async def test_as_a_user_of_its_own_it_is_adopted_drained_and_ended(open_run_dir: Path) -> None:
    """With one capability; and the agent's files beside it are not the proxy's to write."""
    own = EnvoyCommand(find({}).path, bootstrap(open_run_dir), drain_seconds=1, user=PROXY_USER)
    first = Supervisor(open_run_dir, own, QUICK)
    running = asyncio.create_task(first.run())
    first.want({PROXY})
    live = await status(first, lambda s: s.phase == "live")
    running.cancel()
    await asyncio.wait([running])
    process = Path(f"/proc/{live.pid}")
    assert process.stat().st_uid == PROXY_USER
    assert f"CapEff:\t{1 << 21:016x}\n" in (process / "status").read_text()
    directory = ProxyDirectory.of(open_run_dir, PROXY).path
    theirs = {path.name for path in directory.rglob("*") if path.lstat().st_uid == PROXY_USER}
    assert theirs == {"admin", "sock", "bootstrap.json"}
    async with supervising(open_run_dir) as second:
        second.want({PROXY})
        adopted = await status(second, lambda s: s.phase == "live")
        assert (adopted.pid, adopted.adopted) == (live.pid, True)
        await second.stop_all()
    assert envoys(open_run_dir) == []
