"""What an application tries that wants out. Run inside one, with the standard library only.

A test sends this file with a last line that prints `report` of what it knows of the host: the names of what worked.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER = 0x40000000, 0x20000, 0x10000000
PTRACE_ATTACH = 16
SO_MARK = 36
AF_PACKET, AF_VSOCK, AF_XDP = 17, 40, 44
SCTP, MPTCP = 132, 262


def called(result):
    """Fails where a function of C did."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "failed")
    return True


def inside(directory):
    """What can be seen there of what is the mesh's own."""
    return [path for path in Path(directory).iterdir() if path.name != "resolv.conf"]


def spoken_to(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return True


def opened(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))
    return True


def read(path):
    with Path(path).open("rb") as file:
        return len(file.read(4096)) > 0


def entered(path, kind):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return called(libc.setns(descriptor, kind))
    finally:
        os.close(descriptor)


def in_child(function):
    """Whether it works in a child process, which is free to ruin itself."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if function() else 1)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def answered(family, kind, protocol, address, sent=b"hello", mark=None):
    """Whether anybody who is not the application's own proxy answers."""
    with socket.socket(family, kind, protocol) as client:
        client.settimeout(5)
        if mark is not None:
            client.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        client.connect(address)
        client.sendall(sent)
        return len(client.recv(100)) > 0


def sent(family, kind, protocol, address):
    """Whether the kernel takes a packet for an address."""
    with socket.socket(family, kind, protocol) as client:
        return client.sendto(b"hello", address) > 0


def as_root_of_nothing(function):
    """In namespaces that anybody may make."""

    def try_it():
        called(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return function()

    return in_child(try_it)


def succeeds(*command):
    program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return False
    return subprocess.run([program, *command[1:]], capture_output=True, timeout=10).returncode == 0


def attempts(known):
    run_dir, state_dir = known["run_dir"], known["state_dir"]
    host, port = known["host"], known["port"]
    status = Path("/proc/self/status").read_text()
    tries = {
        "see the run directory": lambda: inside(run_dir),
        "see the state directory": lambda: inside(state_dir),
        "write into the run directory": lambda: opened(run_dir + "/x", os.O_WRONLY | os.O_CREAT),
        "see what is below": lambda: as_root_of_nothing(
            lambda: libc.umount2(run_dir.encode(), 2) == 0 or libc.umount2(state_dir.encode(), 2) == 0
        ),
        "keep a capability": lambda: any(
            int(line.split()[1], 16)
            for line in status.splitlines()
            if line.startswith(("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"))
        ),
        "be without no_new_privs": lambda: "NoNewPrivs:\t1\n" not in status,
        "become root by a set-uid program": lambda: (
            subprocess.run([known["setuid"], known["secret"]], capture_output=True).stdout and os.getuid() != 0
        ),
        "become another user": lambda: in_child(lambda: os.setuid(known["other_uid"]) is None),
        "change packet rules": lambda: succeeds("nft", "flush", "ruleset"),
        "change routes": lambda: succeeds("ip", "route", "add", "192.0.2.77/32", "dev", "lo"),
        "change the interface": lambda: succeeds("ip", "link", "set", "lo", "down"),
        "change how ports work": lambda: opened("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY),
        "change the kernel": lambda: opened("/proc/sys/kernel/core_pattern", os.O_WRONLY),
        "change the resolver": lambda: opened("/etc/resolv.conf", os.O_WRONLY),
        "mount": lambda: called(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)),
        "enter the host's network": lambda: in_child(lambda: entered("/proc/1/ns/net", CLONE_NEWNET)),
        "send raw packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        "send raw packets 6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        "see packets": lambda: socket.socket(AF_PACKET, socket.SOCK_RAW),
        "reach the hypervisor": lambda: socket.socket(AF_VSOCK, socket.SOCK_STREAM),
        "use XDP": lambda: socket.socket(AF_XDP, socket.SOCK_RAW),
        "send UDP": lambda: sent(socket.AF_INET, socket.SOCK_DGRAM, 0, (host, port)),
        "send UDP-Lite": lambda: sent(socket.AF_INET, socket.SOCK_DGRAM, 136, (host, port)),
        "send UDP 6": lambda: sent(socket.AF_INET6, socket.SOCK_DGRAM, 0, ("2001:db8::1", port)),
        "send UDP to its link": lambda: sent(socket.AF_INET6, socket.SOCK_DGRAM, 0, ("fe80::1", port, 0, 1)),
        "send multicast": lambda: sent(socket.AF_INET, socket.SOCK_DGRAM, 0, ("224.0.0.251", 5353)),
        "ping": lambda: sent(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, (host, 0)),
        "speak SCTP": lambda: answered(socket.AF_INET, socket.SOCK_STREAM, SCTP, (host, port)),
        "mark packets": lambda: answered(socket.AF_INET, socket.SOCK_STREAM, 0, (host, port), mark=1),
        "speak to the link": lambda: answered(socket.AF_INET6, socket.SOCK_STREAM, 0, ("fe80::1", port, 0, 1)),
        "speak to the host's loopback": lambda: answered(
            socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", known["loopback_port"])
        ),
        "speak to an abstract socket of the host": lambda: spoken_to("\0" + known["abstract"]),
    }
    for name in known["sockets"]:
        tries[f"speak to {name}"] = lambda name=name: spoken_to(f"{run_dir}/{name}")
    for pid in known["pids"]:
        root = f"/proc/{pid}"
        for name in ("environ", "mem", "maps", "auxv", "stack", "io"):
            tries[f"read {root}/{name}"] = lambda path=f"{root}/{name}": (
                opened(path) if path.endswith("mem") else read(path)
            )
        for number in range(5):
            tries[f"follow {root}/fd/{number}"] = lambda path=f"{root}/fd/{number}": Path(path).readlink()
        for name in ("root", "cwd", "map_files"):
            tries[f"look into {root}/{name}"] = lambda path=f"{root}/{name}/": [*Path(path).iterdir(), "."]
        tries[f"speak to the agent through {root}"] = lambda root=root: spoken_to(f"{root}/root{run_dir}/api.sock")
        tries[f"enter the network of {pid}"] = lambda root=root: in_child(
            lambda: entered(f"{root}/ns/net", CLONE_NEWNET)
        )
        tries[f"enter all of {pid}"] = lambda pid=pid: in_child(
            lambda: called(libc.setns(os.pidfd_open(pid), CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUSER))
        )
        tries[f"trace {pid}"] = lambda pid=pid: called(libc.ptrace(PTRACE_ATTACH, pid, None, None))
        if pid in known["others"]:
            tries[f"stop {pid}"] = lambda pid=pid: os.kill(pid, 0) is None
    if known["outside"]:
        tries["speak MPTCP"] = lambda: answered(socket.AF_INET, socket.SOCK_STREAM, MPTCP, (host, port))
        tries["speak TCP"] = lambda: answered(socket.AF_INET, socket.SOCK_STREAM, 0, (host, port))
        tries["speak TCP 6"] = lambda: answered(socket.AF_INET6, socket.SOCK_STREAM, 0, ("::ffff:" + host, port))
    found = []
    for name, attempt in tries.items():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if attempt():
                found.append(name)
    return found


def report(known):
    """As JSON, for the test: what worked."""
    return json.dumps(attempts(known))
