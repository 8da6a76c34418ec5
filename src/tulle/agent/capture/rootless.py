"""Lets an ordinary user capture traffic: inside a user namespace of their own, in which they are root.

The agent stays in the host's network, so that it reaches the control plane and the network as the user does; what it
makes (network namespaces, mounts) belongs to the user namespace. Whether a host allows this is found out by doing it:
some let the namespace be made and take the rights away (AppArmor on Ubuntu 24.04).
"""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tulle.agent.capture import netlink, syscalls
from tulle.agent.capture.rules import workload_rules
from tulle.agent.pidfd import ProcessIdentity, identity_of
from tulle.model.problem import Problem

_PROBE_LIMIT = 30.0
_BOTH = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS
_SWITCHES = (
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
)


def detect() -> Problem | None:
    """Why this user cannot capture traffic on this host without root; None where they can. Takes part of a second."""
    program = "import sys; from tulle.agent.capture.rootless import probe; sys.exit(probe())"
    command = [sys.executable, "-I", "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Problem("", f"trying a user namespace did not end within {_PROBE_LIMIT:.0f} s")
    if done.returncode == 0:
        return None
    reason = done.stderr.strip() or f"exit code {done.returncode}"
    return Problem("", f"this user cannot capture traffic without root: {reason}", _hint())


def _hint() -> str:
    for name, forbidding, allowing in _SWITCHES:
        switch = Path("/proc/sys", *name.split("."))
        if switch.exists() and switch.read_text().strip() == forbidding:
            return f"an administrator can allow it: sysctl -w {name}={allowing}; or run as root"
    return "run as root, or where user namespaces are allowed (a container's seccomp profile may forbid them)"


def probe() -> str | None:
    """Does in this process what capture needs; returns the step that failed and why. The process is not usable for
    anything else afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("make a user and a mount namespace", _become_root),
            ("make a network namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWNET)),
            ("bring its interface up and set routes", netlink.route_everything_to_loopback),
            ("set packet rules (nftables)", lambda: netlink.install(workload_rules())),
            ("mount a tmpfs", lambda: syscalls.mount("tmpfs", scratch, "tmpfs")),
        )
        for name, step in steps:
            try:
                step()
            except Exception as failure:  # netlink's errors are no OSErrors; whatever it is, it is the answer
                return f"cannot {name}: {failure}"
        syscalls.unmount(scratch)
    return None


def is_inside() -> bool:
    """Whether this process is in such a user namespace: user 0 here is an ordinary user outside."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    if os.geteuid() != 0 or len(lines) != 1:
        return False
    inside, outside, count = map(int, lines[0].split())
    return inside == 0 and outside != 0 and count == 1


def enter(holders: Iterable[ProcessIdentity] = ()) -> None:
    """Makes an ordinary user's process root in a user and mount namespace, by executing this program again in it.

    To be called first thing, before there are threads. `holders` are processes that an earlier agent left: the
    namespace of the first that is alive is entered, as its mounts are seen nowhere else; else a new one is made.
    Returns where the process is root already, so after the second start. Raises OSError.
    """
    if os.geteuid() == 0:
        return
    if not any(map(_joined, holders)):
        _become_root()
    # Executing makes the process one of the new namespace for the kernel: only then may `tulle exec` join it.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (no shell is wanted)


def join(pid: int) -> None:
    """Enters the user and mount namespaces of a running agent; for a process without threads. Raises OSError.

    Does nothing for root, whose agent is in the host's.
    """
    if os.geteuid() != 0:
        _join(pid)


def _joined(holder: ProcessIdentity) -> bool:
    """Joins the namespaces of a process, if it still runs."""
    if identity_of(holder.pid) != holder:
        return False
    try:
        _join(holder.pid)
    except ProcessLookupError:  # it has ended, and nobody has asked how
        return False
    return True


def _join(pid: int) -> None:
    directory = Path.cwd()
    process = os.pidfd_open(pid)
    try:
        syscalls.setns(process, _BOTH)
    finally:
        os.close(process)
    os.chdir(directory)


def _become_root() -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(_BOTH)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except PermissionError as error:
        raise OSError(errno.EPERM, "the user namespace's maps may not be written") from error
