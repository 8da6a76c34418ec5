"""Becomes an Envoy: enters a network namespace, writes down who it is, gives up what a proxy does not need, and
replaces itself by the proxy.

A program of its own, run by path and importing next to nothing of Tulle: a namespace is entered by a whole process,
the agent has threads and cannot fork one safely, and what is written down must be true even if the agent dies
meanwhile. The lock is inherited by Envoy and held until Envoy ends, so that there are never two of them in one
directory. Of an administrator's rights Envoy keeps CAP_SYS_ADMIN, without which it cannot listen and dial inside
workloads' namespaces, and of that capability only this use
(docs/decisions/011-users-of-proxies-and-applications.md).

Usage: launch_envoy.py <directory> <network namespace or ""> <user number or ""> <restarts> <proxy> -- <command...>
"""

import fcntl
import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NoReturn

if __package__:
    from tulle.agent.capture import syscalls
else:
    _found = spec_from_file_location("syscalls", Path(__file__).parent / "capture" / "syscalls.py")
    if _found is None or _found.loader is None:
        sys.exit("capture/syscalls.py is missing beside launch_envoy.py")
    syscalls = module_from_spec(_found)
    _found.loader.exec_module(syscalls)

LOCKED = 75  # EX_TEMPFAIL of sysexits.h


def enter_network(path: str) -> None:
    """Moves this process into the network namespace at `path`. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(fd, syscalls.CLONE_NEWNET)
    os.close(fd)


def give_up_privileges(user: int | None) -> None:
    """From here on this process is `user`'s, where one is given, with one capability. Raises OSError."""
    syscalls.drop_bounding_set(kept=syscalls.CAP_SYS_ADMIN)
    if user is not None:
        syscalls.become_user_with(user, user, syscalls.CAP_SYS_ADMIN)
    syscalls.no_new_privileges()
    syscalls.allow_network_namespaces_only()


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
    directory, network, user, restarts, proxy, _, *command = arguments
    os.umask(0o077)
    if not hold_lock(Path(directory)):
        print(f"another proxy holds {directory}", file=sys.stderr)
        sys.exit(LOCKED)
    # Stale sockets would make Envoy's bind fail; the lock says that nobody uses them.
    (Path(directory) / "admin" / "sock").unlink(missing_ok=True)
    write_state(Path(directory), proxy, int(restarts))
    if network:
        enter_network(network)
    # Opened now: the way to it may be closed to the user that this process becomes.
    binary = os.open(command[0], os.O_RDONLY | os.O_CLOEXEC)
    if os.geteuid() == 0:
        give_up_privileges(int(user) if user else None)
    os.execve(binary, command, dict(os.environ))  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
