"""Starts applications in their workloads' namespaces and holds on to them.

An application outlives the agent: it runs in its own session, writes to its own log file, and leaves a record by which
the next agent recognises it. It may leave processes behind; those are found by the namespaces that they are in.
"""

import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Struct

from tulle.agent.capture import launch as launcher
from tulle.agent.capture.launch import Launch
from tulle.agent.errors import AgentError
from tulle.agent.pidfd import Process, ProcessIdentity, identity_of

_SPECIFICATION, _FAILURES = 3, 4
_FIRST_FREE = 10
_START_LIMIT = 10.0
# A process may fork while it is being looked for.
_KILL_ROUNDS, _KILL_PAUSE = 50, 0.02


class LaunchError(AgentError):
    """An application could not be started; the message says why."""


class Launched(Struct, frozen=True):
    """An application that was started: its process, the inode of its mount namespace, the path of its network."""

    process: ProcessIdentity
    mounts: int
    network: str


def resolv_conf(namespace: str, resolver: str, domain: str) -> str:
    """What an application's /etc/resolv.conf says: names without a dot are looked up in its own namespace first.
    `domain` is the first one of the mesh, empty where it has none.

    A question that is lost while the agent is started again is asked again soon, but not before the agent has had the
    time to ask the control plane or the host's name servers.
    """
    services = f"svc.{domain}" if domain else "svc"
    return f"nameserver {resolver}\nsearch {namespace}.{services} {services}\noptions ndots:1 timeout:3 attempts:3\n"


async def start(launch: Launch, log: Path) -> Launched:
    """Starts an application; returns once it has been executed. `launch.record` must be given.

    Raises LaunchError where it cannot be executed, with what the machine said.
    """
    if launch.record is None:
        raise ValueError("an application needs a record, or the next agent cannot find it")
    pid, failures = _spawn(launch, log)
    try:
        message = await asyncio.wait_for(_read_all(failures), _START_LIMIT)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        message = f"{launch.command[0]}: not started after {_START_LIMIT:.0f} s".encode()
    found = read_record(Path(launch.record))
    if not message and (found is None or found.process.pid != pid):
        message = f"{launch.command[0]}: ended before it was executed; see {log}".encode()
    if message or found is None:
        await asyncio.to_thread(os.waitpid, pid, 0)
        raise LaunchError(message.decode(errors="replace"))
    return found


def read_record(record: Path) -> Launched | None:
    """The application that a record names; None where there is no record or it cannot be read."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=Launched)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeError):
        return None


def become(launch: Launch) -> NoReturn:
    """Turns this process into a command in a workload's namespaces, with this process's terminal. Raises OSError."""
    specification = _written(launch)
    os.set_inheritable(specification, True)
    os.execv(sys.executable, _command(specification, ""))  # noqa: S606 (no shell is wanted)


def _command(specification: int, failures: int | str) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(specification), str(failures)]


def _written(launch: Launch) -> int:
    specification = os.memfd_create("launch")
    os.write(specification, launch.to_json().encode())
    os.lseek(specification, 0, os.SEEK_SET)
    return specification


def _spawn(launch: Launch, log: Path) -> tuple[int, int]:
    """Starts the launcher. Returns its process id and a descriptor on which failures are heard until execve."""
    heard, told = os.pipe()
    opened = [os.open(os.devnull, os.O_RDONLY), _open_log(log), _written(launch), told]
    # Moved away from the numbers that they are to have in the child.
    sources = [_moved(descriptor) for descriptor in opened]
    null, output, specification, failures = sources
    targets = ((null, 0), (output, 1), (output, 2), (specification, _SPECIFICATION), (failures, _FAILURES))
    try:
        pid = os.posix_spawn(
            sys.executable,
            _command(_SPECIFICATION, _FAILURES),
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for source, target in targets],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
        )
    except BaseException:
        os.close(heard)
        raise
    finally:
        for source in sources:
            os.close(source)
    return pid, heard


def _open_log(log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)


def _moved(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return moved


async def _read_all(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        return await reader.read(-1)
    finally:
        transport.close()


async def terminate(launched: Launched, grace: float) -> int | None:
    """Ends an application: SIGTERM to its process group, `grace` seconds, SIGKILL to whatever it left.

    Returns its exit code (negative for a signal), None where it is not a child of this process or had ended before.
    """
    process = Process.open(launched.process)
    code = None
    if process is not None:
        try:
            os.killpg(launched.process.pid, signal.SIGTERM)
            code = await asyncio.wait_for(process.ended(), grace)
        except TimeoutError:
            process.send(signal.SIGKILL)
            code = await process.ended()
        finally:
            process.close()
    for _ in range(_KILL_ROUNDS):
        left = await asyncio.to_thread(leftovers, launched)  # a host may have thousands of processes
        if not left:
            break
        for identity in left:
            held = Process.open(identity)
            if held is not None:
                held.send(signal.SIGKILL)
                held.close()
        await asyncio.sleep(_KILL_PAUSE)
    return code


def leftovers(launched: Launched) -> tuple[ProcessIdentity, ...]:
    """The processes of an application: in both its mount and its network namespace.

    Both, because the number of a namespace that has ended is given away again; the network's is held by its path. And
    a proxy visits the network for moments, never the mounts.
    """
    try:
        network = Path(launched.network).stat().st_ino
    except FileNotFoundError:
        return ()
    entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    found = (_identity_inside(entry, network, launched.mounts) for entry in entries)
    return tuple(identity for identity in found if identity is not None)


def _identity_inside(entry: Path, network: int, mounts: int) -> ProcessIdentity | None:
    """The process of an entry of /proc, if it is in these namespaces. Looked at twice, because its number may be given
    away again meanwhile; once is enough to pass over all the others of a host."""
    if not _is_inside(entry, network, mounts):
        return None
    identity = identity_of(int(entry.name))
    return identity if _is_inside(entry, network, mounts) else None


def _is_inside(entry: Path, network: int, mounts: int) -> bool:
    try:
        return (entry / "ns/mnt").stat().st_ino == mounts and (entry / "ns/net").stat().st_ino == network
    except OSError:  # ended, or somebody else's
        return False
