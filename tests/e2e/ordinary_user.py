"""Runs Python as an ordinary user, for tests that run as root."""

import sys
from pathlib import Path

NOBODY = 65534

# The interpreter may live where only root may look: the way to it is opened, in a mount namespace of this process.
_BECOME = """
import os, sys
from pathlib import Path
from tulle.agent.capture import syscalls

uid, directory, *arguments = sys.argv[1:]
prefix = Path(sys.base_prefix)
closed = next((p for p in reversed(prefix.parents) if not p.stat().st_mode & 0o001), None)
if closed is not None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    interpreter = os.open(prefix, os.O_PATH)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", str(closed), "tmpfs", options="mode=0755")
    prefix.mkdir(parents=True)
    syscalls.mount(f"/proc/self/fd/{interpreter}", str(prefix), flags=syscalls.MS_BIND)
os.setgroups([])
os.setresgid(int(uid), int(uid), int(uid))
os.setresuid(int(uid), int(uid), int(uid))
os.chdir(directory)
os.execv(sys.executable, [sys.executable, "-B", *arguments])
"""


def python_as(uid: int, directory: Path, *arguments: str) -> list[str]:
    """The command that runs this interpreter with `arguments`, as that user in that directory."""
    return [sys.executable, "-c", _BECOME, str(uid), str(directory), *arguments]
