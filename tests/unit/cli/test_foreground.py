"""What stays in the foreground ends when it is asked to, or when it fails, and passes on little of its environment."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tulle.agent.proxy_directory import ProxyDirectory
from tulle.cli.errors import Failure
from tulle.cli.foreground import (
    LONGEST_SOCKET,
    application_environment,
    invoking_user,
    own_paths,
    run_until_signalled,
    until,
)
from tulle.model.names import ProxyId, WorkloadName

LONGEST_RUN_DIR = Path("/" + "r" * 54)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_it_to_stop(number: signal.Signals) -> None:
    async def main(stopping: asyncio.Event) -> int:
        os.kill(os.getpid(), number)
        await stopping.wait()
        return 7

    assert run_until_signalled(main) == 7


def test_a_second_signal_ends_it_at_once() -> None:
    async def main(stopping: asyncio.Event) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await stopping.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(1000)
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_until_signalled(main)


def test_of_what_fails_together_the_first_error_is_raised() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def main(stopping: asyncio.Event) -> int:
        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fail(OSError("the port is taken")))
            outer.create_task(fail(ValueError("never")))
        return 0

    with pytest.raises(OSError, match="the port is taken"):
        run_until_signalled(main)


async def test_serving_is_cancelled_when_it_is_to_stop() -> None:
    stopping, ended = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        try:
            stopping.set()
            await asyncio.sleep(1000)
        finally:
            ended.set()

    await until(stopping, serve())
    assert ended.is_set()


async def test_serving_that_fails_is_a_failure() -> None:
    async def serve() -> None:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"):
        await until(asyncio.Event(), serve())


def test_applications_get_where_programs_and_their_home_are_and_nothing_secret() -> None:
    own = {"PATH": "/bin", "HOME": "/home/ada", "LANG": "C.UTF-8", "AWS_SECRET_ACCESS_KEY": "x", "LD_PRELOAD": "y"}
    given = application_environment(own)
    assert given == {"PATH": f"{Path(sys.executable).parent}:/bin", "HOME": "/home/ada", "LANG": "C.UTF-8"}
    assert application_environment({})["PATH"].endswith(os.defpath)


@pytest.mark.parametrize(("environment", "uid"), [({"SUDO_UID": "1000"}, 1000), ({}, 0), ({"SUDO_UID": "-1"}, 0)])
def test_who_became_root_is_known(environment: dict[str, str], uid: int) -> None:
    assert invoking_user(environment) == uid


def test_the_sockets_of_all_proxies_fit_below_the_longest_run_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = ProxyId("node", WorkloadName("n" * 63, "w" * 63))
    assert len(bytes(ProxyDirectory.of(LONGEST_RUN_DIR, proxy).admin)) == LONGEST_SOCKET
    monkeypatch.setenv("TULLE_RUN_DIR", str(LONGEST_RUN_DIR))
    assert own_paths().run_dir == LONGEST_RUN_DIR


def test_a_run_directory_in_which_no_socket_would_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_RUN_DIR", f"{LONGEST_RUN_DIR}r")
    with pytest.raises(Failure, match="more than 55 bytes") as failure:
        own_paths()
    assert "TULLE_RUN_DIR" in failure.value.hint
    assert own_paths(len("/api.sock")).api_socket == Path(f"{LONGEST_RUN_DIR}r/api.sock")


@pytest.mark.parametrize("variable", ["TULLE_RUN_DIR", "TULLE_STATE_DIR"])
def test_directories_are_the_same_from_wherever_they_are_seen(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "tulle")
    with pytest.raises(Failure, match=f"{variable}=tulle is no absolute path") as failure:
        own_paths()
    assert failure.value.hint == f"write {variable}={Path.cwd()}/tulle"
