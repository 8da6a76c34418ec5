"""The Linux system calls that Python 3.11 does not offer: namespaces, mounts, capabilities, seccomp.

One module, standard library only: the launchers load it by path, without the rest of the project, to start quickly.
Every function raises OSError with the kernel's errno.
"""

import ctypes
import os
import platform
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

CAP_SYS_ADMIN = 21

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def _checked(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags: int) -> None:
    """Gives the calling thread new namespaces (CLONE_NEW*)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Moves the calling thread into the namespace open as `fd`; `kind` is the CLONE_NEW* it must be, 0 for any."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, filesystem: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        filesystem.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(result, f"mount {source} on {target}")


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(flags)), f"unmount {target}")


def _prctl(what: str, option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *padded), what)


def no_new_privileges() -> None:
    """From here on no execve gives privileges (set-uid bits, file capabilities); cannot be undone."""
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


def drop_bounding_set(kept: int | None = None) -> None:
    """Empties the capability bounding set but for one, so that not even user id 0 regains others by execve."""
    for capability in range(int(_LAST_CAPABILITY.read_text()) + 1):
        if capability != kept:
            _prctl("drop a capability from the bounding set", _PR_CAPBSET_DROP, capability)


def become_user_with(uid: int, gid: int, capability: int) -> None:
    """Turns a process of user 0 into another user's that keeps one capability, over execve too."""
    _prctl("keep capabilities", _PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _checked(_libc.capset(header, struct.pack("=6I", low, low, low, high, high, high)), "capset")
    _prctl("raise an ambient capability", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capabilities() -> None:
    """Empties the ambient, permitted, effective and inheritable sets of the calling thread."""
    _prctl("clear ambient capabilities", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, b"\0" * 24), "capset")


class _Architecture:
    """What a seccomp filter must know of a processor: its audit number and numbers of system calls. `administrative`
    are those that a process with CAP_SYS_ADMIN could take over a host with, besides _ADMINISTRATIVE."""

    def __init__(
        self, audit: int, socket: int, io_uring_setup: int, setns: int, clone: int, administrative: tuple[int, ...]
    ) -> None:
        self.audit = audit
        self.socket = socket
        self.io_uring_setup = io_uring_setup
        self.setns = setns
        self.clone = clone
        self.administrative = administrative


# Administrative are, in this order: ptrace, syslog, pivot_root, chroot, acct, mount, umount2, swapon,
# swapoff, reboot, sethostname, setdomainname, init_module, delete_module, quotactl, kexec_load, add_key, request_key,
# keyctl, unshare, perf_event_open, fanotify_init, open_by_handle_at, process_vm_readv, process_vm_writev,
# finit_module, kexec_file_load, bpf, userfaultfd.
_ARCHITECTURES = {
    "x86_64": _Architecture(
        0xC000003E,
        41,
        425,
        308,
        56,
        (
            101,
            103,
            155,
            161,
            163,
            165,
            166,
            167,
            168,
            169,
            170,
            171,
            175,
            176,
            179,
            246,
            248,
            249,
            250,
            272,
            298,
            300,
            304,
            310,
            311,
            313,
            320,
            321,
            323,
        ),
    ),
    "aarch64": _Architecture(
        0xC00000B7,
        198,
        425,
        268,
        220,
        (
            117,
            116,
            41,
            51,
            89,
            40,
            39,
            224,
            225,
            142,
            161,
            162,
            105,
            106,
            60,
            104,
            217,
            218,
            219,
            97,
            241,
            262,
            265,
            270,
            271,
            273,
            294,
            280,
            282,
        ),
    ),
}
# The same everywhere: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_getfd, mount_setattr,
# quotactl_fd.
_ADMINISTRATIVE = (428, 429, 430, 431, 432, 433, 438, 442, 443)
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW*

_X32_BIT = 0x40000000
_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_OFFSET_SECOND_ARGUMENT = 24


def _jump(at: int, test: int, operand: int, then: int, otherwise: int) -> tuple[int, int, int, int]:
    """An instruction at `at` that goes on at one of two others."""
    return (test, then - at - 1, otherwise - at - 1, operand)


def _assembled(program: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def socket_filter(families: tuple[int, ...], machine: str) -> bytes:
    """The BPF program that lets a process create sockets of these address families only.

    Network namespaces do not hold every family: AF_VSOCK reaches the hypervisor from anywhere. io_uring could make
    sockets past this filter and 32-bit calls carry other numbers, so both answer ENOSYS, as an old kernel would.
    `machine` is as `uname -m` says; raises KeyError for a processor that is not known.
    """
    known = _ARCHITECTURES[machine]
    refused = 7 + len(families)
    missing, allowed = refused + 1, refused + 2
    return _assembled(
        [
            (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
            _jump(1, _EQUAL, known.audit, 2, missing),
            (_LOAD, 0, 0, _OFFSET_NUMBER),
            _jump(3, _SET, _X32_BIT, missing, 4),
            _jump(4, _EQUAL, known.io_uring_setup, missing, 5),
            _jump(5, _EQUAL, known.socket, 6, allowed),
            (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
            *(_jump(at, _EQUAL, family, allowed, at + 1) for at, family in enumerate(families, 7)),
            (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
            (_RETURN, 0, 0, _ERRNO | _ENOSYS),
            (_RETURN, 0, 0, _ALLOW),
        ]
    )


def network_namespaces_filter(machine: str) -> bytes:
    """The BPF program that leaves a process with CAP_SYS_ADMIN one use of it: to enter network namespaces.

    What else the capability allows is refused by the calls' numbers; clone3, whose flags a filter cannot see, and
    io_uring, which makes calls past it, answer ENOSYS, as do 32-bit calls. Raises KeyError for an unknown processor.
    """
    known = _ARCHITECTURES[machine]
    denied = (*known.administrative, *_ADMINISTRATIVE)
    first = 8
    setns = first + len(denied) + 1
    clone, refused, missing, allowed = setns + 2, setns + 4, setns + 5, setns + 6
    return _assembled(
        [
            (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
            _jump(1, _EQUAL, known.audit, 2, missing),
            (_LOAD, 0, 0, _OFFSET_NUMBER),
            _jump(3, _SET, _X32_BIT, missing, 4),
            _jump(4, _EQUAL, known.setns, setns, 5),
            _jump(5, _EQUAL, known.clone, clone, 6),
            _jump(6, _EQUAL, _CLONE3, missing, 7),
            _jump(7, _EQUAL, known.io_uring_setup, missing, first),
            *(_jump(at, _EQUAL, number, refused, at + 1) for at, number in enumerate(denied, first)),
            (_RETURN, 0, 0, _ALLOW),
            (_LOAD, 0, 0, _OFFSET_SECOND_ARGUMENT),
            _jump(setns + 1, _EQUAL, CLONE_NEWNET, allowed, refused),
            (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
            _jump(clone + 1, _SET, _NEW_NAMESPACES, refused, allowed),
            (_RETURN, 0, 0, _ERRNO | _EPERM),
            (_RETURN, 0, 0, _ERRNO | _ENOSYS),
            (_RETURN, 0, 0, _ALLOW),
        ]
    )


def allow_sockets_of(families: tuple[int, ...]) -> None:
    """Installs `socket_filter` on the calling thread and what it executes; needs no_new_privileges() before."""
    _install(socket_filter(families, platform.machine()))


def allow_network_namespaces_only() -> None:
    """Installs `network_namespaces_filter` likewise."""
    _install(network_namespaces_filter(platform.machine()))


def _install(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    _prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))
