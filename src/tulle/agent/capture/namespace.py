"""Makes, finds and removes the network namespaces of workloads, and does things inside them.

A namespace lives as a bind mount in `<run_dir>/ns/`, one path per incarnation of a workload: a proxy's listener keeps
the namespace it first found at a path for ever. The mounts keep namespaces alive without a process, so they survive
the agent; `sweep` removes what a killed agent left.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pyroute2 import NetlinkError

from tulle.agent.capture import netlink, syscalls
from tulle.agent.capture.rules import Table, workload_rules
from tulle.model.names import WorkloadName

T = TypeVar("T")

_NODE = "node"
_MOUNTS = Path("/proc/thread-self/mountinfo")


class Namespaces:
    """The network namespaces under one agent's run directory. Functions block for some milliseconds."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = run_dir / "ns"
        self._lock = threading.Lock()

    def path(self, name: WorkloadName) -> Path:
        """Where the namespace of a workload is mounted, whether or not it exists."""
        return self._directory / f"{name.namespace}~{name.name}"

    @property
    def node_path(self) -> Path:
        """Where the proxies' own namespace is mounted, in rootless mode."""
        return self._directory / _NODE

    def create(self, name: WorkloadName, rules: Table | None = None) -> Path:
        """A namespace that holds `lo` only, to which every address is routed, with the packet rules in place.

        Raises FileExistsError where this incarnation has one already, OSError where the kernel refuses; then nothing
        stays.
        """
        table = workload_rules() if rules is None else rules

        def fill() -> None:
            netlink.route_everything_to_loopback()
            netlink.install(table)

        return self._create(self.path(name), fill)

    def create_node(self) -> Path:
        """The namespace in which rootless proxies run: `lo`, nothing else. An existing one is kept."""
        if _is_mounted(self.node_path):
            return self.node_path
        self.remove_node()  # where all processes of an agent were killed, an empty file stays
        return self._create(self.node_path, netlink.loopback_up)

    def remove(self, name: WorkloadName) -> None:
        """Unmounts a workload's namespace; the kernel frees it when its last process and socket are gone."""
        self._remove(self.path(name))

    def remove_node(self) -> None:
        """Unmounts the proxies' own namespace."""
        self._remove(self.node_path)

    def list(self) -> tuple[WorkloadName, ...]:
        """The workloads that have a namespace here, leftovers of killed agents included."""
        if not self._directory.is_dir():
            return ()
        parts = (entry.name.split("~") for entry in self._directory.iterdir())
        return tuple(sorted(WorkloadName(*part) for part in parts if len(part) == 2))

    def sweep(self, keep: Iterable[WorkloadName] = ()) -> tuple[WorkloadName, ...]:
        """Removes every workload's namespace but those to `keep`; returns the removed."""
        kept = frozenset(keep)
        removed = tuple(name for name in self.list() if name not in kept)
        for name in removed:
            self.remove(name)
        return removed

    def alive(self, name: WorkloadName) -> bool:
        """Whether a namespace is mounted there (after a rootless agent's end only the empty file stays)."""
        return _is_mounted(self.path(name))

    def _create(self, path: Path, fill: Callable[[], None]) -> Path:
        def make() -> None:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            try:
                fill()
            except NetlinkError as error:
                raise OSError(error.code, f"the kernel refuses what a namespace needs: {error}") from error
            syscalls.mount("/proc/thread-self/ns/net", str(path), flags=syscalls.MS_BIND)

        with self._lock:
            self._prepare_directory()
            path.touch(mode=0o400, exist_ok=False)
            try:
                in_thread(make)
            except BaseException:
                self._discard(path)
                raise
        return path

    def _prepare_directory(self) -> None:
        # A private mount of its own: on a host that shares mounts (systemd does) copies of a namespace's mount would
        # appear in every service's mount namespace and keep the namespace alive after its removal.
        # To be passed through by proxies that have another user, inside a run directory that nobody else gets into.
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)
        if not _is_mounted(self._directory):
            syscalls.mount(str(self._directory), str(self._directory), flags=syscalls.MS_BIND)
            syscalls.mount("none", str(self._directory), flags=syscalls.MS_PRIVATE)

    def _remove(self, path: Path) -> None:
        with self._lock:
            if path.exists():
                self._discard(path)

    def _discard(self, path: Path) -> None:
        while _is_mounted(path):
            syscalls.unmount(str(path), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        path.unlink()
        if not any(self._directory.iterdir()):
            while _is_mounted(self._directory):
                syscalls.unmount(str(self._directory), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
            self._directory.rmdir()


def _is_mounted(path: Path) -> bool:
    wanted = str(path.parent.resolve() / path.name)
    for character in "\\ \t\n":  # as the kernel writes them there
        wanted = wanted.replace(character, f"\\{ord(character):03o}")
    return any(line.split(" ")[4] == wanted for line in _MOUNTS.read_text().splitlines())


def in_thread(function: Callable[[], T]) -> T:
    """Runs `function` in a thread of its own that ends afterwards, for what must not stay with a thread."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as failure:  # a thread's root: the failure is handed to the caller
            failures.append(failure)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def in_namespace(path: Path, function: Callable[[], T]) -> T:
    """Runs `function` in a thread that is in the network namespace at `path`; sockets it makes stay in there."""

    def inside() -> T:
        enter(path)
        return function()

    return in_thread(inside)


def enter(path: Path) -> None:
    """Moves the calling thread into the network namespace at `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(descriptor, syscalls.CLONE_NEWNET)
    finally:
        os.close(descriptor)


def bind_udp(path: Path, address: str, port: int) -> socket.socket:
    """A non-blocking UDP socket bound in the namespace at `path`. IPv6 sockets take IPv6 only."""
    return in_namespace(path, lambda: _bound(socket.SOCK_DGRAM, address, port))


def bind_tcp(path: Path, address: str, port: int, backlog: int = 128) -> socket.socket:
    """A non-blocking listening TCP socket bound in the namespace at `path`. IPv6 sockets take IPv6 only."""

    def listen() -> socket.socket:
        made = _bound(socket.SOCK_STREAM, address, port)
        made.listen(backlog)
        return made

    return in_namespace(path, listen)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Not for UDP, where it would let a second socket take over the port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


async def dial(path: Path, port: int, address: str = "127.0.0.1", limit: float = 2.0) -> socket.socket:
    """A non-blocking TCP socket connected to a port inside the namespace at `path`, within `limit` seconds.

    Raises OSError (ConnectionRefusedError, TimeoutError) as connect does.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # A socket stays in the namespace in which it was made, so only that needs the thread.
    made = in_namespace(path, lambda: socket.socket(family, socket.SOCK_STREAM))
    made.setblocking(False)
    try:
        async with asyncio.timeout(limit):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


async def dial_application(path: Path, port: int) -> socket.socket:
    """A connection to an application, which may listen on either loopback address. Raises OSError."""
    try:
        return await dial(path, port)
    except ConnectionRefusedError:
        return await dial(path, port, "::1")
