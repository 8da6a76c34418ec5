"""A process is known by number, start time and boot, and only that one is signalled."""

import os
import signal
import subprocess

from msgspec.structs import replace

from tulle.agent.pidfd import Process, identity_of


async def test_ends_are_seen_with_their_status() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = identity_of(child.pid)
    assert identity is not None
    process = Process.open(identity)
    assert process is not None
    process.send(signal.SIGTERM)
    child.returncode = 0
    assert await process.ended() == -signal.SIGTERM
    process.send(signal.SIGTERM)
    process.close()
    assert Process.open(identity) is None


def test_a_number_that_was_given_away_is_not_opened() -> None:
    own = identity_of(os.getpid())
    assert own is not None
    assert Process.open(replace(own, start_time=own.start_time - 1)) is None
    assert Process.open(replace(own, boot="another")) is None


async def test_a_process_of_others_has_no_status() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    identity = identity_of(int(shell.stdout.readline()))
    shell.wait()
    assert identity is not None
    process = Process.open(identity)
    assert process is not None
    process.send(signal.SIGKILL)
    assert await process.ended() is None
    process.close()


async def test_one_that_nobody_asked_how_it_ended_is_not_running() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = identity_of(child.pid)
    assert identity is not None
    process = Process.open(identity)
    assert process is not None
    assert process.running
    process.send(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity_of(child.pid) == identity
    assert not process.running
    child.wait()
    assert not process.running
    process.close()
