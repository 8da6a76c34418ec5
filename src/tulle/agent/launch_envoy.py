"""Becomes an Envoy: enters a network namespace, writes down who it is, and replaces itself by the proxy.

A program of its own, run by path with nothing of Tulle imported: a namespace is entered by a whole process, the agent
has threads and cannot fork one safely, and what is written down must be true even if the agent dies meanwhile. The
lock is inherited by Envoy and held until Envoy ends, so that there are never two of them in one directory.

Usage: launch_envoy.py <directory> <network namespace or ""> <restarts> <proxy> -- <command...>
"""

import ctypes
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

LOCKED = 75  # EX_TEMPFAIL of sysexits.h
CLONE_NEWNET = 0x40000000


def enter_network(path: str) -> None:
    """Moves this process into the network namespace at `path`. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    os.close(fd)


def hold_lock(directory: Path) -> bool:
    """Locks the directory for the rest of this process's life, across exec."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(fd, True)
    return True


def write_state(directory: Path, proxy: str, restarts: int) -> None:
    """Writes process.json, which supervise.py reads as its ProcessState."""
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    state = {
        "proxy": proxy,
        "restarts": restarts,
        "process": {
            "pid": os.getpid(),
            "start_time": int(stat[stat.rindex(")") + 2 :].split()[19]),
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        },
    }
    new = directory / "process.json.new"
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(directory / "process.json")


def main(arguments: list[str]) -> NoReturn:
    directory, network, restarts, proxy, _, *command = arguments
    os.umask(0o077)
    if not hold_lock(Path(directory)):
        print(f"another proxy holds {directory}", file=sys.stderr)
        sys.exit(LOCKED)
    # Stale sockets would make Envoy's bind fail; the lock says that nobody uses them.
    (Path(directory) / "admin.sock").unlink(missing_ok=True)
    write_state(Path(directory), proxy, int(restarts))
    if network:
        enter_network(network)
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
