"""Becomes an application: enters its workload's namespaces, gives up every privilege, and executes it.

A program of its own, run by path and importing next to nothing: the agent has threads and cannot fork safely, and an
application's start should not wait for the project's imports. What the application may be told reaches this program
through a descriptor: not in arguments, which every user of the host can read, and not in the environment, which would
let a declared LD_PRELOAD act here, where there are privileges still.

Usage: launch.py <descriptor of a JSON file with the fields of Launch> <descriptor that hears of failures, or "">
"""

import contextlib
import errno
import json
import os
import signal
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple, NoReturn

if __package__:
    from tulle.agent.capture import syscalls
else:
    _found = spec_from_file_location("syscalls", Path(__file__).with_name("syscalls.py"))
    if _found is None or _found.loader is None:
        sys.exit("syscalls.py is missing beside launch.py")
    syscalls = module_from_spec(_found)
    _found.loader.exec_module(syscalls)

CANNOT_RUN = 126
NOT_FOUND = 127
_FIRST_OTHER = 3
_RESOLV_CONF = "/etc/resolv.conf"

# Doors that lead out of a network namespace through the file system, as far as an application's user may open them:
# resolvers (nss-resolve by its own socket or D-Bus, nscd, mDNS), and services that start processes elsewhere (a user's
# or the system's service manager, container engines). Syslog, in /run/systemd/journal, stays.
DOOR_DIRECTORIES = (
    "/run/systemd/resolve",
    "/run/nscd",
    "/var/run/nscd",
    "/var/cache/nscd",
    "/run/avahi-daemon",
    "/run/dbus",
    "/run/user",
    "/run/containerd",
    "/run/crio",
    "/run/podman",
)
DOOR_SOCKETS = ("/run/systemd/private", "/run/docker.sock", "/run/snapd.socket")

# UNIX, INET, INET6, NETLINK: the families that network namespaces and file permissions confine.
_FAMILIES = (1, 2, 10, 16)


class RunAs(NamedTuple):
    """A user of the host by numbers; `groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Launch(NamedTuple):
    """One application's start. (No Struct: this program imports the standard library only.)

    `network` is the path of the network namespace; `run_dir` is the agent's and is hidden, as are `hidden`, of which
    the directories in `shown` stay visible; `resolv_conf` is the text that replaces the host's; `run_as` is None for
    the user that the agent runs as; `record`, where given, is a file that receives a Launched as JSON.
    """

    network: str
    run_dir: str
    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    resolv_conf: str
    run_as: RunAs | None
    directory: str
    command: tuple[str, ...]
    environment: dict[str, str]
    record: str | None

    @classmethod
    def from_json(cls, text: str) -> "Launch":
        """The reverse of to_json."""
        fields = json.loads(text)
        for name in ("hidden", "shown", "command"):
            fields[name] = tuple(fields[name])
        if fields["run_as"] is not None:
            uid, gid, groups = fields["run_as"]
            fields["run_as"] = RunAs(uid, gid, tuple(groups))
        return cls(**fields)

    def to_json(self) -> str:
        """One JSON object with the fields."""
        return json.dumps(self._asdict())


def become(launch: Launch) -> NoReturn:
    """Turns this process into the application. Raises OSError with nothing executed."""
    network = os.open(launch.network, os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(network, syscalls.CLONE_NEWNET)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.umask(0o077)
    if launch.record is not None:
        _write_record(Path(launch.record), launch.network)
    os.umask(0o022)  # what the application sees from here on it may read
    _hide(launch)
    _give_up_privileges(launch.run_as)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, which execve would pass on
        signal.signal(number, signal.SIG_DFL)
    execute(launch)


def execute(launch: Launch) -> NoReturn:
    """Replaces this process by the application's program. Raises OSError, whose text says what could be wrong."""
    try:
        os.chdir(launch.directory)
    except OSError as failure:
        raise _told(failure.errno, f": its working directory is {launch.directory}") from failure
    try:
        os.execvpe(launch.command[0], launch.command, launch.environment)  # noqa: S606 (no shell is wanted)
    except OSError as failure:
        number = failure.errno
        if "/" not in launch.command[0] and not os.path.exists(failure.filename or ""):  # noqa: PTH110
            number = errno.ENOENT  # a directory of PATH that is closed to this user, or is none, says something else
        raise _told(number, _cause(launch, number)) from failure


def _told(number: int | None, cause: str) -> OSError:
    whom = f" for user {os.geteuid()}" if number in (errno.EACCES, errno.EPERM) else ""
    return OSError(number, f"{os.strerror(number or 0)}{whom}{cause}")


def _cause(launch: Launch, number: int | None) -> str:
    """What could be the cause of it that a program cannot be executed; nothing where the error says it."""
    program = launch.command[0]
    if number == errno.ENOENT:
        if "/" not in program:
            return f": it is in no directory of PATH={launch.environment.get('PATH', os.defpath)}"
        if os.path.exists(program):  # noqa: PTH110
            return ": what its first line names, or its loader, is not there"
        return "" if program.startswith("/") else f": relative paths begin in {launch.directory}"
    if number == errno.EACCES:
        return ": it has to be an executable file (chmod +x) that they get at"
    if number == errno.ENOEXEC:
        return ": it is no program of this machine, nor a script that begins with #!"
    return ""


def _write_record(record: Path, network: str) -> None:
    # Written here and not by the agent, so that it is true even if the agent dies meanwhile.
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    process = {
        "pid": os.getpid(),
        "start_time": int(stat[stat.rindex(")") + 2 :].split()[19]),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
    }
    mounts = Path("/proc/self/ns/mnt").stat().st_ino
    new = record.with_name(record.name + ".new")
    new.write_text(json.dumps({"process": process, "mounts": mounts, "network": network}), encoding="utf-8")
    new.replace(record)


def _hide(launch: Launch) -> None:
    """Covers what the application must not reach by empty directories, and the resolver's configuration by its own."""
    with contextlib.suppress(OSError):  # copies of the namespaces' mounts would keep removed ones alive
        syscalls.unmount(f"{launch.run_dir}/ns", syscalls.MNT_DETACH)
    shown = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in launch.shown]
    wanted = (launch.run_dir, *launch.hidden, *DOOR_DIRECTORIES)
    covers = sorted({os.path.realpath(path) for path in wanted if os.path.isdir(path)})  # noqa: PTH112
    covers = [path for path in covers if not any(path.startswith(f"{other}/") for other in covers)]
    for cover in covers:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("tmpfs", cover, "tmpfs", flags, "size=64k,nr_inodes=64,mode=0755")
    for door in DOOR_SOCKETS:
        if os.path.exists(door):  # noqa: PTH110
            syscalls.mount("/dev/null", door, flags=syscalls.MS_BIND)
    _replace_resolv_conf(launch, covers)
    for path, descriptor in shown:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
        syscalls.mount(f"/proc/self/fd/{descriptor}", path, flags=syscalls.MS_BIND)
        os.close(descriptor)
    for cover in covers:
        _make_read_only(cover)
    if _is_root(launch.run_as):
        _protect_kernel()


def _is_root(run_as: RunAs | None) -> bool:
    """Whether the application will be user 0 of the host."""
    return (os.geteuid() if run_as is None else run_as.uid) == 0 and not _is_in_namespace_of_a_user()


def _protect_kernel() -> None:
    """The kernel lets user 0 write its settings without any capability, such as the program that handles crashes."""
    syscalls.mount("/proc/sys", "/proc/sys", flags=syscalls.MS_BIND | syscalls.MS_REC)
    mounts = {line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for mount in sorted(mounts):
        if mount.startswith(("/proc/sys", "/sys/")) or mount == "/sys":
            with contextlib.suppress(OSError):  # under another mount: nobody can see it
                _make_read_only(mount)


def _replace_resolv_conf(launch: Launch, covers: list[str]) -> None:
    run_dir = Path(os.path.realpath(launch.run_dir))
    cover = next((cover for cover in covers if run_dir.is_relative_to(cover)), None)
    if cover is None:
        raise FileNotFoundError(errno.ENOENT, "there is no run directory to hide", launch.run_dir)
    own = Path(cover, "resolv.conf")
    own.write_text(launch.resolv_conf, encoding="utf-8")
    target = Path(os.path.realpath(_RESOLV_CONF))
    if not target.exists() and any(target.is_relative_to(cover) for cover in covers):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    syscalls.mount(str(own), str(target), flags=syscalls.MS_BIND)
    _make_read_only(str(target))


def _make_read_only(path: str) -> None:
    kept = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("none", path, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | kept)


def _give_up_privileges(run_as: RunAs | None) -> None:
    _enter_own_user_namespace()
    syscalls.drop_bounding_set()
    if run_as is not None:
        os.setgroups(run_as.groups)
        os.setresgid(run_as.gid, run_as.gid, run_as.gid)
        os.setresuid(run_as.uid, run_as.uid, run_as.uid)
    syscalls.drop_capabilities()
    syscalls.no_new_privileges()
    syscalls.allow_sockets_of(_FAMILIES)


def _enter_own_user_namespace() -> None:
    """A user namespace for this application alone, in which user ids mean what they mean outside.

    Without one, applications of one user could trace each other and so use each other's network. It locks the mounts,
    too. A host that forbids it to root as well (user.max_user_namespaces = 0) runs the application without.
    """
    if _is_in_namespace_of_a_user():
        # The agent is an ordinary user, seen as user 0 in here: the application sees its real number again.
        maps = {kind: _outside_map(kind) for kind in ("uid", "gid")}
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        _write_maps("self", maps)
        return
    maps = {kind: _identity_map(kind) for kind in ("uid", "gid")}
    _unshare_with_maps(maps)


def _is_in_namespace_of_a_user() -> bool:
    """Whether user 0 is an ordinary user of the host: the agent runs without root."""
    extents = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return len(extents) == 1 and extents[0][2] == "1"


def _identity_map(kind: str) -> str:
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    return "\n".join(f"{inside} {inside} {count}" for inside, _, count in (line.split() for line in lines))


def _outside_map(kind: str) -> str:
    inside, outside, count = Path(f"/proc/self/{kind}_map").read_text().split()
    return f"{outside} {inside} {count}"


def _write_maps(process: str, maps: dict[str, str]) -> None:
    for kind, text in maps.items():
        Path(f"/proc/{process}/{kind}_map").write_text(text)


def _unshare_with_maps(maps: dict[str, str]) -> None:
    """Enters a new user namespace whose maps a child that stayed outside writes: only there is the right to do so."""
    ready, tell = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(tell)
        try:
            if os.read(ready, 1):
                _write_maps(str(parent), maps)
        except OSError:
            os._exit(1)
        os._exit(0)
    os.close(ready)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except OSError:
        os.close(tell)
        os.waitpid(child, 0)
        return
    os.write(tell, b"1")
    os.close(tell)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise OSError(errno.EPERM, "the user namespace's maps could not be written")


def _close_all_but(kept: int) -> None:
    """Closes what an agent was started with and passed on unknowingly; execve closes `kept`."""
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(_FIRST_OTHER, kept)
    os.closerange(kept + 1, most)
    with contextlib.suppress(OSError):
        os.set_inheritable(kept, False)


def main(arguments: list[str]) -> NoReturn:
    specification, failures = arguments
    with open(int(specification), encoding="utf-8") as source:  # noqa: PTH123 (a descriptor)
        launch = Launch.from_json(source.read())
    _close_all_but(int(failures) if failures else _FIRST_OTHER)
    try:
        become(launch)
    except OSError as failure:
        where = "" if failure.filename is None else f" ({os.fsdecode(failure.filename)})"
        message = f"{launch.command[0]}: {failure.strerror or failure}{where}"
        if failures:
            os.write(int(failures), message.encode())
        else:
            print(message, file=sys.stderr)
        os._exit(NOT_FOUND if isinstance(failure, FileNotFoundError) else CANNOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1:])
