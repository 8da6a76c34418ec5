"""Workloads in real namespaces: what goes in, what comes out, and what stays behind.

The tests run as root, and by `test_everything_holds_for_an_ordinary_user` once more in a user namespace.
"""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from pyroute2 import NetlinkError
from tests.e2e.ordinary_user import NOBODY, python_as

from tulle.agent.capture import gateway, netlink, process, proxy_protocol, rootless
from tulle.agent.capture.dns import bind_dns, serve_dns
from tulle.agent.capture.dns_upstream import Upstream
from tulle.agent.capture.launch import DOOR_DIRECTORIES, DOOR_SOCKETS, Launch, RunAs
from tulle.agent.capture.namespace import Namespaces, dial, in_namespace
from tulle.agent.capture.process import Launched
from tulle.agent.capture.publish import Target, bind_published, publish
from tulle.agent.capture.rules import DNS_PORT, OUTBOUND_PORT, RESOLVER, Chain, Redirect, Rule, Table, workload_rules
from tulle.agent.envoy_binary import find
from tulle.agent.pidfd import Process, identity_of
from tulle.model.names import WorkloadName

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces need root; run as root, or set CI to fail"
    ),
]

needs_nft = pytest.mark.skipif(
    shutil.which("nft") is None and not os.environ.get("CI"), reason="nft reads and tries to change the rules"
)

CATALOG = WorkloadName("shop", "catalog-1")
SO_ORIGINAL_DST = 80
# A filter chain may not redirect.
REFUSED = Chain("bad", "filter", "output", 0, (Rule((), Redirect(1)),))


def _traces(run_dir: Path, inodes: set[int]) -> list[str]:
    """The mounts, in whatever mount namespace, under a run directory or of these network namespaces, and the host's
    links and names of namespaces that have to do with it. Others may be at work on this host."""
    marks = (f"{run_dir}/", *(f"net:[{inode}]" for inode in inodes))
    mounts = [line for table in Path("/proc").glob("[0-9]*/mountinfo") for line in _text(table).splitlines()]
    commands = (("ip", "netns"), ("ip", "-o", "link"))
    shown = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    named = [line for text in shown for line in text.splitlines() if CATALOG.name in line or "tulle" in line]
    return [line for line in mounts if any(mark in line for mark in marks)] + named


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir(mode=0o700)
    (made / "admin.sock").touch()
    return made


@pytest.fixture
def namespaces(run_dir: Path) -> Iterator[Namespaces]:
    made = Namespaces(run_dir)
    inodes: set[int] = set()
    try:
        yield made
        inodes.update(made.path(name).stat().st_ino for name in made.list())
    finally:
        made.sweep()
        made.remove_node()
    assert _traces(run_dir, inodes) == []
    assert not (run_dir / "ns").exists()


@pytest.fixture
def network(namespaces: Namespaces) -> Path:
    return namespaces.create(CATALOG)


class Applications:
    """Starts applications in a namespace and ends them."""

    def __init__(self, run_dir: Path, network: Path) -> None:
        self._run_dir = run_dir
        self._network = network
        self._started: list[Launched] = []

    def launch(self, *command: str, run_as: RunAs | None = None, environment: dict[str, str] | None = None) -> Launch:
        return Launch(
            network=str(self._network),
            run_dir=str(self._run_dir),
            hidden=(),
            shown=(),
            resolv_conf=process.resolv_conf("shop", RESOLVER, "cluster.local"),
            run_as=run_as,
            directory="/",
            command=command,
            environment={"PATH": os.defpath, **(environment or {})},
            record=str(self._run_dir.parent / f"app-{len(self._started)}.json"),
        )

    @property
    def log(self) -> Path:
        return self._run_dir.parent / "app.log"

    async def start(self, launch: Launch) -> Launched:
        launched = await process.start(launch, self.log)
        self._started.append(launched)
        return launched

    async def run(self, launch: Launch) -> str:
        """Runs an application to its end; returns what it wrote."""
        launched = await self.start(launch)
        held = Process.open(launched.process)
        if held is not None:
            async with asyncio.timeout(20):
                await held.ended()
            held.close()
        return self.log.read_text()

    async def python(self, program: str) -> str:
        return await self.run(self.launch(sys.executable, "-I", "-c", textwrap.dedent(program)))

    async def stop(self) -> None:
        for launched in self._started:
            await process.terminate(launched, grace=0)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(launched.process.pid, 0)


@pytest.fixture
async def applications(run_dir: Path, network: Path) -> AsyncIterator[Applications]:
    made = Applications(run_dir, network)
    try:
        yield made
    finally:
        await made.stop()


def _error(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as failure:
        return failure.errno
    return None


# What goes out


@needs_nft
def test_the_kernel_has_the_rules_that_were_meant(network: Path) -> None:
    listed = in_namespace(
        network, lambda: subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    )
    lines = [line.strip() for line in listed.splitlines()]
    rules = [line for line in lines if line.startswith(("ip", "udp", "tcp", "meta", "ct", "icmp", "reject"))]
    assert rules == [str(rule) for chain in workload_rules().chains for rule in chain.rules]
    assert "type nat hook output priority -100; policy accept;" in lines


def test_rules_come_whole_or_not_at_all(network: Path) -> None:
    good = workload_rules().chains[0]
    with pytest.raises(NetlinkError):
        in_namespace(network, lambda: netlink.install(Table("other", (good, REFUSED))))
    # The name is free: nothing of the first attempt stayed.
    in_namespace(network, lambda: netlink.install(Table("other", (good,))))


@pytest.mark.parametrize(
    ("listening", "called"),
    [("127.0.0.1", "10.1.2.3"), ("127.0.0.1", "240.240.0.9"), ("::1", "2001:db8::7"), ("::1", "fd74:756c:6c65:1::9")],
)
def test_tcp_to_anywhere_reaches_the_proxy_with_the_original_destination(
    network: Path, listening: str, called: str
) -> None:
    family = socket.AF_INET6 if ":" in called else socket.AF_INET

    def call() -> tuple[bytes, str]:
        with (
            socket.create_server((listening, OUTBOUND_PORT), family=family) as listener,
            socket.create_connection((called, 8080), timeout=5) as client,
        ):
            accepted, _ = listener.accept()
            with accepted:
                level = socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.SOL_IP
                return accepted.getsockopt(level, SO_ORIGINAL_DST, 28), client.getpeername()[0]

    original, peer = in_namespace(network, call)
    (port,) = struct.unpack_from("!H", original, 2)
    address = original[8:24] if family == socket.AF_INET6 else original[4:8]
    assert (ip_address(address), port) == (ip_address(called), 8080)
    assert peer == called


@pytest.mark.parametrize(("called", "source"), [("10.1.2.3", "127.0.0.1"), ("2001:db8::7", "::1")])
def test_what_goes_out_comes_from_the_first_loopback_address(network: Path, called: str, source: str) -> None:
    """Not from the others that `lo` has, which are there for resolvers only."""
    family = socket.AF_INET6 if ":" in called else socket.AF_INET

    def call() -> tuple[str, str]:
        with (
            socket.create_server((source, OUTBOUND_PORT), family=family) as listener,
            socket.create_connection((called, 8080), timeout=5) as client,
        ):
            accepted, peer = listener.accept()
            accepted.close()
            return client.getsockname()[0], peer[0]

    assert in_namespace(network, call) == (source, source)


def test_the_second_ipv6_address_leads_to_the_proxy_as_any_other(network: Path) -> None:
    assert in_namespace(network, lambda: _is_captured("fd74:756c:6c65::2", "::1"))
    assert not in_namespace(network, lambda: _is_captured("127.0.0.2", "127.0.0.1"))


def _is_captured(called: str, capture: str) -> bool:
    """Whether the proxy hears of a connection, and not a program that listens at that very address."""
    family = socket.AF_INET6 if ":" in called else socket.AF_INET
    with (
        socket.create_server((capture, OUTBOUND_PORT), family=family) as proxy,
        socket.create_server((called, 8080), family=family) as program,
        socket.create_connection((called, 8080), timeout=5),
    ):
        proxy.setblocking(False)
        program.setblocking(False)
        try:
            (proxy.accept()[0]).close()
        except BlockingIOError:
            (program.accept()[0]).close()
            return False
        return True


def test_tcp_is_refused_while_there_is_no_proxy(network: Path) -> None:
    def call() -> int | None:
        return _error(lambda: socket.create_connection(("10.1.2.3", 8080), timeout=5))

    assert in_namespace(network, call) == errno.ECONNREFUSED


@pytest.mark.parametrize("called", ["8.8.8.8", "10.1.2.3", "224.0.0.251", "2001:db8::7", "ff02::fb"])
@pytest.mark.parametrize("mark", [0, 1337])
def test_udp_is_refused_at_once(network: Path, called: str, mark: int) -> None:
    def send() -> int | None:
        with socket.socket(socket.AF_INET6 if ":" in called else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            return _error(lambda: sender.sendto(b"x", (called, 9999)))

    assert in_namespace(network, send) == errno.EPERM


@pytest.mark.parametrize(
    ("called", "protocol", "echo"),
    [("8.8.8.8", socket.IPPROTO_ICMP, 8), ("2001:db8::7", socket.IPPROTO_ICMPV6, 128)],
)
def test_ping_is_refused_at_once(network: Path, called: str, protocol: int, echo: int) -> None:
    def send() -> int | None:
        with socket.socket(socket.AF_INET6 if ":" in called else socket.AF_INET, socket.SOCK_RAW, protocol) as sender:
            return _error(lambda: sender.sendto(struct.pack("!BBHHH", echo, 0, 0, 1, 1), (called, 0)))

    assert in_namespace(network, send) == errno.EPERM


# Names


class Names:
    async def lookup(self, client_namespace: str, name: str) -> tuple[str, ...] | None:
        known = {"catalog.shop": ("240.240.0.1", "fd74:756c:6c65:1::f0f0:1")}
        return known.get(name if "." in name else f"{name}.{client_namespace}")


class Elsewhere(asyncio.DatagramProtocol):
    """A name server of the world outside: every name is 192.0.2.1."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        reply = DNSRecord.parse(data).reply()
        reply.add_answer(RR(reply.q.qname, QTYPE.A, rdata=A("192.0.2.1")))
        self._transport.sendto(reply.pack(), addr)


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[str, int]]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Elsewhere, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


@pytest.fixture
async def dns(network: Path, elsewhere: tuple[str, int]) -> AsyncIterator[Path]:
    serving = asyncio.create_task(
        serve_dns(bind_dns(network), "shop", Names(), Upstream(lambda: (elsewhere,))), name="dns"
    )
    try:
        yield network
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def _ask(network: Path, server: str, kind: socket.SocketKind, question: DNSRecord) -> DNSRecord:
    def ask() -> bytes:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, kind) as client:
            client.settimeout(5)
            client.connect((server, 53))
            packet = question.pack()
            if kind == socket.SOCK_DGRAM:
                client.send(packet)
                return client.recv(4096)
            client.sendall(struct.pack("!H", len(packet)) + packet)
            with client.makefile("rb") as stream:
                return stream.read(*struct.unpack("!H", stream.read(2)))

    return DNSRecord.parse(in_namespace(network, ask))


@pytest.mark.parametrize("server", [RESOLVER, "8.8.8.8", "2001:4860:4860::8888"])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_names_of_services_are_known_to_any_resolver_address(
    dns: Path, server: str, kind: socket.SocketKind
) -> None:
    for qtype, address in (("A", "240.240.0.1"), ("AAAA", "fd74:756c:6c65:1::f0f0:1")):
        question = DNSRecord.question("Catalog.Shop.svc.cluster.local.", qtype)
        reply = await asyncio.to_thread(_ask, dns, server, kind, question)
        assert [str(found.rdata) for found in reply.rr] == [address]


async def test_other_names_are_asked_of_the_hosts_servers(dns: Path) -> None:
    question = DNSRecord.question("api.example.com")
    reply = await asyncio.to_thread(_ask, dns, RESOLVER, socket.SOCK_DGRAM, question)
    assert [str(found.rdata) for found in reply.rr] == ["192.0.2.1"]


async def test_without_the_hosts_servers_other_names_fail_at_once_and_ours_do_not(network: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()
    serving = asyncio.create_task(serve_dns(bind_dns(network), "shop", Names(), Upstream(lambda: (closed,))))
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            question = DNSRecord.question("api.example.com")
            reply = await asyncio.to_thread(_ask, network, RESOLVER, kind, question)
            assert reply.header.rcode == RCODE.SERVFAIL
            reply = await asyncio.to_thread(_ask, network, RESOLVER, kind, DNSRecord.question("catalog.shop"))
            assert len(reply.rr) == 1
    finally:
        serving.cancel()


async def test_an_application_resolves_as_it_always_does(dns: Path, applications: Applications) -> None:
    output = await applications.python("""
        import json, socket
        names = ("catalog", "catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local", "api.example.com")
        found = {name: sorted({info[4][0] for info in socket.getaddrinfo(name, 80)}) for name in names}
        try:
            socket.getaddrinfo("absent.shop.svc", 80)
        except socket.gaierror as error:
            found["absent"] = error.errno == socket.EAI_NONAME
        print(json.dumps(found))
    """)
    found = json.loads(output)
    assert found.pop("absent") is True
    assert found.pop("api.example.com") == ["192.0.2.1"]
    assert set(map(tuple, found.values())) == {("240.240.0.1", "fd74:756c:6c65:1::f0f0:1")}


async def test_an_application_may_ask_for_one_ip_version_only(dns: Path, applications: Applications) -> None:
    """And for those that its host has, as many libraries do of themselves."""
    output = await applications.python("""
        import json, socket, subprocess
        found = {}
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC):
            infos = socket.getaddrinfo("catalog", 80, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found[family.name] = sorted(info[4][0] for info in infos)
        for database in ("ahosts", "ahostsv4", "ahostsv6"):
            done = subprocess.run(["getent", database, "catalog"], capture_output=True, text=True, check=True)
            found[database] = sorted({line.split()[0] for line in done.stdout.splitlines()})
        print(json.dumps(found))
    """)
    four, six = "240.240.0.1", "fd74:756c:6c65:1::f0f0:1"
    assert json.loads(output) == {
        "AF_INET": [four],
        "AF_INET6": [six],
        "AF_UNSPEC": [four, six],
        "ahosts": [four, six],
        "ahostsv4": [four],
        "ahostsv6": [six],
    }


# What an application may do


async def test_an_application_has_no_privileges(applications: Applications) -> None:
    output = await applications.run(applications.launch("cat", "/proc/self/status"))
    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert {status[f"Cap{kind}"] for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.skipif(rootless.is_inside(), reason="an ordinary user's applications run as that user")
async def test_an_application_runs_as_the_user_it_should(applications: Applications) -> None:
    output = await applications.run(applications.launch("cat", "/proc/self/status", run_as=RunAs(NOBODY, NOBODY, (1,))))
    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert status["Uid"] == status["Gid"] == "\t".join([str(NOBODY)] * 4)
    assert status["Groups"].split() == ["1"]
    assert status["CapEff"] == status["CapBnd"] == "0" * 16


async def test_an_application_cannot_get_out(applications: Applications, run_dir: Path) -> None:
    abstract = f"\0tulle-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(abstract)
    listener.listen()
    output = await applications.python(f"""
        import ctypes, json, os, socket
        libc = ctypes.CDLL(None, use_errno=True)

        def error(call):
            try:
                call()
            except OSError as failure:
                return failure.errno
            return 0

        def libc_error(call):
            ctypes.set_errno(0)
            return ctypes.get_errno() if call() != 0 else 0

        found = {{
            "run_dir": sorted(os.listdir({str(run_dir)!r})),
            "write to run_dir": error(lambda: open({str(run_dir / "x")!r}, "w")),
            "write resolv.conf": error(lambda: open("/etc/resolv.conf", "w")),
            "trace the agent": error(lambda: os.stat("/proc/{os.getpid()}/root/etc")),
            "enter the agent's network": error(lambda: os.open("/proc/{os.getpid()}/ns/net", os.O_RDONLY)),
            "raw socket": error(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
            "packet socket": error(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
            "vsock": error(lambda: socket.socket(40, socket.SOCK_STREAM)),
            "io_uring": libc_error(lambda: libc.syscall(425, 1, None)),
            "unmount": libc_error(lambda: libc.umount2({str(run_dir)!r}.encode(), 2)),
            "abstract socket of the host": error(lambda: socket.socket(socket.AF_UNIX).connect({abstract!r})),
            "descriptors": sorted(os.listdir("/proc/self/fd")),
            "mark": error(lambda: socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)),
        }}
        # In a user namespace of its own it is root, of nothing.
        libc.unshare(0x10000000 | 0x20000)
        found["unmount as root of nothing"] = libc_error(lambda: libc.umount2({str(run_dir)!r}.encode(), 2))
        found["run_dir then"] = sorted(os.listdir({str(run_dir)!r}))
        print(json.dumps(found))
    """)
    listener.close()
    assert json.loads(output) == {
        "run_dir": ["resolv.conf"],
        "write to run_dir": errno.EROFS,
        "write resolv.conf": errno.EROFS,
        "trace the agent": errno.EACCES,
        "enter the agent's network": errno.EACCES,
        "raw socket": errno.EPERM,
        "packet socket": errno.EAFNOSUPPORT,
        "vsock": errno.EAFNOSUPPORT,
        "io_uring": errno.ENOSYS,
        "unmount": errno.EPERM,
        "abstract socket of the host": errno.ECONNREFUSED,
        "descriptors": ["0", "1", "2", "3"],  # 3 reads the directory
        "mark": errno.EPERM,
        "unmount as root of nothing": errno.EINVAL,
        "run_dir then": ["resolv.conf"],
    }


@needs_nft
async def test_an_application_cannot_change_its_rules(applications: Applications, network: Path) -> None:
    output = await applications.run(applications.launch(shutil.which("nft") or "", "flush", "ruleset"))
    assert "Operation not permitted" in output
    listed = in_namespace(
        network, lambda: subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    )
    assert listed == "table inet tulle\n"


async def test_one_application_cannot_trace_another_of_the_same_user(applications: Applications) -> None:
    first = await applications.start(applications.launch("sleep", "60"))
    output = await applications.python(f"""
        import os
        try:
            print(os.listdir("/proc/{first.process.pid}/root"))
        except OSError as failure:
            print(failure.errno)
    """)
    assert output == f"{errno.EACCES}\n"


async def test_what_is_shown_stays_visible(applications: Applications, run_dir: Path) -> None:
    (run_dir / "workloads").mkdir()
    (run_dir / "workloads" / "token").write_text("hello")
    launch = applications.launch("cat", str(run_dir / "workloads" / "token"))
    assert await applications.run(launch._replace(shown=(str(run_dir / "workloads"),))) == "hello"


async def test_doors_through_the_file_system_are_shut(applications: Applications) -> None:
    output = await applications.python(f"""
        import os
        print([os.listdir(door) for door in {DOOR_DIRECTORIES!r} if os.path.isdir(door)])
        print([door for door in {DOOR_SOCKETS!r} if os.path.exists(door) and not os.path.samefile(door, "/dev/null")])
    """)
    found = [door for door in DOOR_DIRECTORIES if Path(door).is_dir()]
    assert output == f"{[[] for _ in found]}\n[]\n"


OTHER_HOST = """
import asyncio, os, socket, sys
from pathlib import Path
from tulle.agent.capture import process, syscalls
from tulle.agent.capture.launch import Launch
from tulle.agent.capture.namespace import Namespaces
from tulle.model.names import WorkloadName

run_dir, record, log = map(Path, sys.argv[1:])
syscalls.unshare(syscalls.CLONE_NEWNS)
syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
for covered in ("/run", "/etc"):
    syscalls.mount("tmpfs", covered, "tmpfs")
Path("/run/systemd/resolve").mkdir(parents=True)
Path("/run/systemd/resolve/stub-resolv.conf").write_text("nameserver 127.0.0.53\\n")
Path("/etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
docker = socket.socket(socket.AF_UNIX)
docker.bind("/run/docker.sock")
docker.listen()
program = "cat /etc/resolv.conf; ls /run/systemd/resolve; test -S /run/docker.sock || echo shut"
network = Namespaces(run_dir).create(WorkloadName("shop", "catalog-1"))
launch = Launch(
    str(network), str(run_dir), (), (), "nameserver 192.0.2.53\\n", None, "/", ("sh", "-c", program),
    {"PATH": os.defpath}, str(record),
)

async def run():
    launched = await process.start(launch, log)
    os.waitpid(launched.process.pid, 0)

asyncio.run(run())
print(log.read_text(), end="")
"""


def test_a_host_whose_resolver_configuration_is_behind_a_door(namespaces: Namespaces, run_dir: Path) -> None:
    command = [sys.executable, "-c", OTHER_HOST, str(run_dir), str(run_dir.parent / "app"), str(run_dir.parent / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "nameserver 192.0.2.53\nstub-resolv.conf\nshut\n", done.stderr


async def test_a_run_directory_inside_a_hidden_one_is_hidden_with_it(applications: Applications, run_dir: Path) -> None:
    launch = applications.launch("sh", "-c", f"ls -a {run_dir.parent} && cat /etc/resolv.conf")
    output = await applications.run(launch._replace(hidden=(str(run_dir.parent),)))
    assert output == ".\n..\nresolv.conf\n" + process.resolv_conf("shop", RESOLVER, "cluster.local")


async def test_without_a_run_directory_nothing_is_executed(applications: Applications) -> None:
    with pytest.raises(process.LaunchError, match="no run directory to hide"):
        await applications.start(applications.launch("true")._replace(run_dir="/nonexistent"))


async def test_the_environment_acts_on_the_application_only(applications: Applications) -> None:
    environment = {"LD_PRELOAD": "/nonexistent.so", "GREETING": "hello"}
    output = await applications.run(applications.launch("env", environment=environment))
    assert "GREETING=hello" in output.splitlines()
    assert output.count("/nonexistent.so") == 2, "the launcher tried to load it, too"


async def test_what_cannot_be_executed_says_so(applications: Applications) -> None:
    with pytest.raises(process.LaunchError, match="nonexistent: No such file or directory"):
        await applications.start(applications.launch("nonexistent"))


# What comes in

SERVER = """
import socket
listener = socket.create_server(("0.0.0.0", {port}))
print("ready", flush=True)
while True:
    accepted, _ = listener.accept()
    with accepted, accepted.makefile("rb") as stream:
        accepted.sendall(b"{name}:" + stream.read())
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _wait_for(path: Path, text: str) -> None:
    async with asyncio.timeout(10):
        while not path.exists() or text not in path.read_text():
            await asyncio.sleep(0.02)


async def _exchange(connected: socket.socket, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(sock=connected)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    return received


@pytest.fixture
async def server_port(applications: Applications) -> int:
    port = _free_port()
    program = SERVER.format(port=port, name="first")
    await applications.start(applications.launch(sys.executable, "-I", "-c", program))
    await _wait_for(applications.log, "ready")
    return port


async def test_an_application_is_reached_from_inside_only(
    server_port: int, network: Path, namespaces: Namespaces
) -> None:
    assert await _exchange(await dial(network, server_port), b"hello") == b"first:hello"
    for address in ("127.0.0.1", "::1", socket.gethostbyname(socket.gethostname())):
        assert _error(lambda a=address: socket.create_connection((a, server_port), timeout=5)) == errno.ECONNREFUSED
    other = namespaces.create(WorkloadName("shop", "other-1"))
    with pytest.raises(ConnectionRefusedError):
        await dial(other, server_port)


async def test_any_port_is_free_to_bind(applications: Applications) -> None:
    output = await applications.python("import socket; print(socket.create_server(('', 80)).getsockname()[1])")
    assert output == "80\n"


async def test_the_dns_port_cannot_be_taken_over(dns: Path, applications: Applications) -> None:
    output = await applications.python(f"""
        import socket
        stolen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stolen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stolen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            stolen.bind(("127.0.0.1", {DNS_PORT}))
        except OSError as failure:
            print(failure.errno)
    """)
    assert output == f"{errno.EADDRINUSE}\n"


async def test_published_ports_lead_to_the_next_workload_that_answers(server_port: int, network: Path) -> None:
    dead = Target(network, _free_port())
    listener = bind_published(0)
    address = listener.getsockname()
    serving = asyncio.create_task(publish(listener, lambda: (dead, Target(network, server_port))))
    try:
        for _ in range(3):
            client = await asyncio.to_thread(socket.create_connection, address)
            assert await _exchange(client, b"x" * 300_000) == b"first:" + b"x" * 300_000
    finally:
        serving.cancel()


# With a real proxy


@contextlib.contextmanager
def _envoy(bootstrap: dict[str, object], network: Path | None) -> Iterator[None]:
    """Runs an Envoy in the network namespace `network`, in the tests' own where it is None."""
    command = [str(find({}).path), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    command += ["--config-yaml", json.dumps(bootstrap)]

    def run() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    running = run() if network is None else in_namespace(network, run)
    try:
        yield
    finally:
        running.kill()
        running.wait()


def _echo_listener(network: Path) -> dict[str, object]:
    prefix = "type.googleapis.com/envoy.extensions.filters"
    address = {"address": "127.0.0.1", "port_value": OUTBOUND_PORT, "network_namespace_filepath": str(network)}
    original = {"@type": f"{prefix}.listener.original_dst.v3.OriginalDst"}
    echo = {"@type": f"{prefix}.network.echo.v3.Echo"}
    return {
        "name": network.name,
        "address": {"socket_address": address},
        "enable_reuse_port": False,
        "listener_filters": [{"name": "original_dst", "typed_config": original}],
        "filter_chains": [{"filters": [{"name": "echo", "typed_config": echo}]}],
    }


async def test_a_proxy_serves_an_application_from_outside_its_namespace(
    namespaces: Namespaces, network: Path, applications: Applications
) -> None:
    # An ordinary user's Envoy cannot be in the host's network.
    node = namespaces.create_node() if rootless.is_inside() else None
    bootstrap: dict[str, object] = {"static_resources": {"listeners": [_echo_listener(network)]}}
    with _envoy(bootstrap, node):
        output = await applications.python("""
            import socket, time
            while True:
                try:
                    called = socket.create_connection(("10.1.2.3", 80), timeout=5)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            called.sendall(b"hello")
            print(called.recv(5), called.getpeername())
        """)
    assert output == "b'hello' ('10.1.2.3', 80)\n"


# The end


async def test_an_end_is_asked_for_and_then_made(applications: Applications, network: Path) -> None:
    program = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 60' & echo ready; while true; do sleep 1; done"
    launched = await applications.start(applications.launch("sh", "-c", program))
    await _wait_for(applications.log, "ready")
    assert await process.terminate(launched, grace=0.1) == -signal.SIGKILL
    assert process.leftovers(launched) == ()


async def test_an_application_may_end_in_its_own_time(applications: Applications) -> None:
    launched = await applications.start(
        applications.launch("sh", "-c", "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done")
    )
    await _wait_for(applications.log, "ready")
    assert await process.terminate(launched, grace=10) == 7


def test_a_namespace_that_could_not_be_filled_leaves_nothing(namespaces: Namespaces) -> None:
    with pytest.raises(OSError, match="the kernel refuses"):
        namespaces.create(CATALOG, Table("tulle", (REFUSED,)))
    assert namespaces.list() == ()


def test_one_path_is_used_once(namespaces: Namespaces, network: Path) -> None:
    with pytest.raises(FileExistsError):
        namespaces.create(CATALOG)
    assert namespaces.alive(CATALOG)


def test_the_proxies_own_namespace_is_kept(namespaces: Namespaces) -> None:
    node = namespaces.create_node()
    inode = node.stat().st_ino
    assert namespaces.create_node().stat().st_ino == inode
    assert namespaces.list() == ()


async def test_no_copy_of_a_mount_keeps_a_removed_namespace(applications: Applications, namespaces: Namespaces) -> None:
    other = WorkloadName("shop", "other-1")
    path = namespaces.create(other)
    inode = path.stat().st_ino
    await applications.start(applications.launch("sleep", "60"))
    namespaces.remove(other)
    shown = [entry for entry in Path("/proc").glob("[0-9]*/mountinfo") if f"net:[{inode}]" in _text(entry)]
    assert shown == []


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


CREATOR = """
import asyncio, sys, os, signal
from pathlib import Path
from tulle.agent.capture.launch import Launch
from tulle.agent.capture.namespace import Namespaces
from tulle.agent.capture import process
from tulle.model.names import WorkloadName

run_dir, record, log = map(Path, sys.argv[1:])
network = Namespaces(run_dir).create(WorkloadName("shop", "catalog-1"))
launch = Launch(str(network), str(run_dir), (), (), "", None, "/", ("sleep", "60"), {"PATH": os.defpath}, str(record))
asyncio.run(process.start(launch, log))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_killed_agent_is_survived_adopted_and_swept(namespaces: Namespaces, run_dir: Path) -> None:
    record, log = run_dir.parent / "app.json", run_dir.parent / "app.log"
    command = [sys.executable, "-c", CREATOR, str(run_dir), str(record), str(log)]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == -signal.SIGKILL
    launched = process.read_record(record)
    assert launched is not None
    try:
        assert identity_of(launched.process.pid) == launched.process
        assert namespaces.list() == (CATALOG,)
        assert namespaces.alive(CATALOG)
        # The rules are in force while nobody is there.
        path = namespaces.path(CATALOG)
        call = in_namespace(path, lambda: _error(lambda: socket.create_connection(("10.1.2.3", 80), timeout=5)))
        assert call == errno.ECONNREFUSED
    finally:
        await process.terminate(launched, grace=5)
    # Nobody's child: whoever adopted it may take its time to reap it.
    stat = _text(Path(f"/proc/{launched.process.pid}/stat"))
    assert stat == "" or stat.rpartition(") ")[2].startswith("Z")
    assert process.leftovers(launched) == ()
    assert namespaces.sweep(keep=[CATALOG]) == ()
    assert namespaces.sweep() == (CATALOG,)


# A command in a workload


def test_a_command_takes_the_terminal_and_gives_its_exit_code(run_dir: Path, network: Path) -> None:
    launch = Launch(
        str(network), str(run_dir), (), (), process.resolv_conf("shop", RESOLVER, "cluster.local"), None, "/",
        ("sh", "-c", "read line; echo $line; cat /etc/resolv.conf; exit 5"), {"PATH": os.defpath}, None,
    )  # fmt: skip
    program = f"from tulle.agent.capture.process import Launch, become; become(Launch.from_json({launch.to_json()!r}))"
    done = subprocess.run([sys.executable, "-c", program], input="hello\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "hello\n" + process.resolv_conf("shop", RESOLVER, "cluster.local"))


# The way out of an ordinary user's mesh


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, int]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo:" + await reader.read())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_gateway_dials_what_the_header_says(tmp_path: Path, echo: tuple[str, int], allowed: bool) -> None:
    path = tmp_path / "out.sock"
    listener = gateway.bind_gateway(path)
    assert path.stat().st_mode & 0o777 == 0o600
    serving = asyncio.create_task(
        gateway.serve_gateway(listener, allowed=(lambda _: True) if allowed else gateway.is_outside)
    )
    try:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.setblocking(False)
        to = proxy_protocol.Destination(ip_address(echo[0]), echo[1])
        sent = proxy_protocol.header(to, to) + b"hello"
        if allowed:
            assert await _exchange(client, sent) == b"echo:hello"
        else:
            with contextlib.suppress(ConnectionResetError):
                assert await _exchange(client, sent) == b""
    finally:
        serving.cancel()


# As an ordinary user

AS_ROOT_OF_A_USER = "from tulle.agent.capture import rootless; rootless.enter(); "


def _as_user(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # pytest's own directories are closed to others.
    shared = Path("/tmp") / f"tulle-test-{os.getpid()}"
    command = python_as(NOBODY, Path("/"), "-c", program, *arguments)
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(shared), "HOME": str(shared)}
    shared.mkdir(mode=0o700)
    os.chown(shared, NOBODY, NOBODY)
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    finally:
        shutil.rmtree(shared)


only_root = pytest.mark.skipif(rootless.is_inside(), reason="runs the others as an ordinary user already")


@only_root
def test_an_ordinary_user_can_do_it_here() -> None:
    done = _as_user("from tulle.agent.capture import rootless; print(rootless.detect(), rootless.is_inside())")
    assert (done.stdout, done.stderr) == ("None False\n", "")


@only_root
def test_where_an_ordinary_user_cannot_the_reason_is_told() -> None:
    # Inside the first user namespace its root may forbid more of them.
    program = """
        from pathlib import Path
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        found = rootless.detect()
        print(found.message)
        print(found.hint)
    """
    done = _as_user(f"{AS_ROOT_OF_A_USER}\n{textwrap.dedent(program)}")
    message, hint = done.stdout.splitlines()
    assert message.endswith("cannot make a user and a mount namespace: [Errno 28] unshare: No space left on device")
    assert "sysctl -w user.max_user_namespaces=" in hint


@only_root
def test_everything_holds_for_an_ordinary_user() -> None:
    root = Path(__file__).parents[2]
    program = AS_ROOT_OF_A_USER + "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    settings = ("--rootdir", str(root), "-c", str(root / "pyproject.toml"), "-p", "no:cacheprovider", "-rs")
    done = _as_user(program, *settings, __file__)
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert [line for line in skipped if "ordinary user" not in line and "nft" not in line] == []


@only_root
def test_a_second_process_joins_the_first() -> None:
    program = textwrap.dedent("""
        import os, subprocess, sys
        from tulle.agent.capture import rootless
        from tulle.agent.pidfd import identity_of

        if len(sys.argv) > 1 and sys.argv[1] == "agent":
            rootless.enter()
            print(os.stat("/proc/self/ns/mnt").st_ino, flush=True)
            sys.stdin.read()
        elif len(sys.argv) > 1 and sys.argv[1] == "exec":
            rootless.join(int(sys.argv[2]))
            print(os.stat("/proc/self/ns/mnt").st_ino, os.geteuid(), rootless.is_inside())
        elif len(sys.argv) > 1 and sys.argv[1] == "next":
            rootless.enter([identity_of(int(sys.argv[2]))])
            print(os.stat("/proc/self/ns/mnt").st_ino, os.geteuid(), rootless.is_inside())
        else:
            me = [sys.executable, "-c", sys.orig_argv[3]]
            pipe = subprocess.PIPE
            with subprocess.Popen([*me, "agent"], stdin=pipe, stdout=pipe, text=True) as agent:
                mounts = agent.stdout.readline().strip()
                own = os.stat("/proc/self/ns/mnt").st_ino
                for role in ("exec", "next"):
                    out = subprocess.run([*me, role, str(agent.pid)], capture_output=True, text=True)
                    print(out.stdout == f"{mounts} 0 True\\n", mounts != str(own), out.stderr)
                agent.stdin.close()
    """)
    done = _as_user(program)
    assert done.stdout == "True True \nTrue True \n", done.stderr
