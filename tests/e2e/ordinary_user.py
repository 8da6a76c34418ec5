"""Runs Python as an ordinary user, for tests that run as root."""

import json
import sys
from pathlib import Path

NOBODY = 65534

# The interpreter and the checkout may live where only root may look: the ways to them are opened, in a mount namespace
# of this process.
_BECOME = """
import json, os, sys
from pathlib import Path
from tulle.agent.capture import syscalls

uid, directory, needed, *arguments = sys.argv[1:]
paths = [Path(path) for path in json.loads(needed)]

def closed():
    return (p for path in paths for p in reversed(path.parents) if not p.stat().st_mode & 0o001)

if any(closed()):
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
wanted = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
while (cover := next(closed(), None)) is not None:
    syscalls.mount("tmpfs", str(cover), "tmpfs", options="mode=0755")
    for path, descriptor in wanted.items():
        if path.is_relative_to(cover):
            path.mkdir(parents=True, exist_ok=True)
            syscalls.mount(f"/proc/self/fd/{descriptor}", str(path), flags=syscalls.MS_BIND)
os.setgroups([])
os.setresgid(int(uid), int(uid), int(uid))
os.setresuid(int(uid), int(uid), int(uid))
os.chdir(directory)
os.execv(sys.executable, [sys.executable, "-B", *arguments])
"""


def python_as(uid: int, directory: Path, *arguments: str) -> list[str]:
    """The command that runs this interpreter with `arguments`, as that user in that directory."""
    needed = {sys.base_prefix, sys.prefix, str(Path(sys.prefix).resolve()), str(Path(__file__).parents[2])}
    return [sys.executable, "-c", _BECOME, str(uid), str(directory), json.dumps(sorted(needed)), *arguments]
