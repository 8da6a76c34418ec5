"""Holds the namespaces of an ordinary user's agent while no agent runs.

The mounts by which workloads' namespaces are found are seen in the agent's own mount namespace only, and that lives as
long as a process is in it. Proxies may have died with the agent, and applications are in mount namespaces of their own:
one process that does nothing stays for the next agent.
"""

import os
import signal
import subprocess
from pathlib import Path

import msgspec

from tulle.agent.pidfd import Process, ProcessIdentity, identity_of
from tulle.identity.private_file import write_private

# Waits for a line first: where nobody has written down which process it is, nobody would ever end it.
_FOR_EVER = ("sh", "-c", "read -r _ && exec sleep 2147483647 </dev/null")


def holder(run_dir: Path) -> ProcessIdentity | None:
    """The process that was started last to hold the namespaces of the agent with this run directory."""
    try:
        return msgspec.json.decode(_record(run_dir).read_bytes(), type=ProcessIdentity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def hold(run_dir: Path) -> None:
    """Sees to it that a process holds the namespaces which this process is in. Raises OSError."""
    if (process := _running(run_dir)) is not None:
        process.close()
        return
    null = subprocess.DEVNULL
    told, tell = os.pipe()
    with os.fdopen(tell, "wb") as teller:
        try:
            child = subprocess.Popen(_FOR_EVER, stdin=told, stdout=null, stderr=null, start_new_session=True, cwd="/")
        finally:
            os.close(told)
        child.returncode = 0  # it outlives this process: Popen has no more to do with it
        write_private(_record(run_dir), msgspec.json.encode(identity_of(child.pid)))
        teller.write(b"\n")


def release(run_dir: Path) -> None:
    """Ends the process that holds them."""
    if (process := _running(run_dir)) is not None:
        process.send(signal.SIGKILL)
        process.close()
    _record(run_dir).unlink(missing_ok=True)


def _running(run_dir: Path) -> Process | None:
    found = holder(run_dir)
    process = Process.open(found) if found else None
    if process is not None and not process.running:
        process.close()
        return None
    return process


def _record(run_dir: Path) -> Path:
    return run_dir / "holder.json"
