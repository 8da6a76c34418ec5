"""What must hold against an attacker, tried on a whole mesh: in both modes, as root and as an ordinary user."""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pyroute2 import IPRoute
from tests.e2e import impostors
from tests.e2e.hostile import GREETING
from tests.e2e.impostors import DAY, Pair
from tests.e2e.ordinary_user import NOBODY
from tests.e2e.security_mesh import APPS, DOMAIN, LIMIT, MESHES, SecurityMesh, running, until

from tulle.agent.app import PROXY_USER
from tulle.agent.capture.rules import DNS_PORT, OUTBOUND_PORT
from tulle.identity.ca import pin
from tulle.model.names import WorkloadName, WorkloadPort

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 and not os.environ.get("CI"), reason="looks into namespaces: run as root, or set CI to fail"
    ),
]


@pytest.fixture(scope="module", params=MESHES)
def mesh(request: pytest.FixtureRequest) -> Iterator[SecurityMesh]:
    with running(*MESHES[request.param]) as made:
        yield made


@pytest.fixture(scope="module")
def authority(mesh: SecurityMesh) -> Pair:
    directory = mesh.state_dir / "up" / "control"
    return impostors.load(directory / "ca.key", directory / "ca.pem")


# At a mesh address


class Door(NamedTuple):
    """Where a workload's greeter is reached: port and SNI."""

    port: int
    sni: str


@pytest.fixture
def door(mesh: SecurityMesh) -> Door:
    declared = mesh.workload("server")
    name = WorkloadName("shop", declared["metadata"]["name"])
    return Door(declared["spec"]["meshPort"], WorkloadPort(name, mesh.greeter("server")).sni)


def greeted(mesh: SecurityMesh) -> int:
    """How many have reached the application, ever."""
    return mesh.app_log("server").count("greeted")


def knock(mesh: SecurityMesh, port: int, context: ssl.SSLContext | None, sni: str | None, sent: bytes = b"") -> bytes:
    """Everything that comes back from a mesh address until it closes, or as much as a greeting."""
    received = b""
    with mesh.between(lambda: socket.create_connection(("127.0.0.1", port), LIMIT)) as plain:
        try:
            connection = context.wrap_socket(plain, server_hostname=sni) if context else plain
            connection.sendall(sent)
            while len(received) < len(GREETING) and (data := connection.recv(65536)):
                received += data
        except (ssl.SSLError, ConnectionError):
            pass
    return received


STRANGERS: dict[str, Callable[[Pair], Pair | None]] = {
    "no certificate": lambda _: None,
    "self-signed": lambda _: impostors.made(None),
    "another CA": lambda _: impostors.made(impostors.made(None, is_ca=True)),
    "expired": lambda ca: impostors.made(ca, start=-2 * DAY, end=-DAY),
    "not valid yet": lambda ca: impostors.made(ca, start=DAY, end=2 * DAY),
    "another trust domain": lambda ca: impostors.made(ca, ["spiffe://other.local/ns/shop/sa/alice"]),
    "no SPIFFE ID": lambda ca: impostors.made(ca, [], dns=["alice.shop"]),
    "a DNS name like one": lambda ca: impostors.made(ca, [], dns=["spiffe.tulle.local"]),
    "the CA itself": lambda ca: ca,
    "a CA below": lambda ca: impostors.made(ca, is_ca=True),
    "a node": lambda ca: impostors.made(ca, [f"spiffe://{DOMAIN}/tulle/node/local"]),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_never_reaches_an_application(
    mesh: SecurityMesh, door: Door, authority: Pair, stranger: str
) -> None:
    before = greeted(mesh)
    shown = STRANGERS[stranger](authority)
    assert knock(mesh, door.port, impostors.client(shown), door.sni, b"hello") == b""
    # Who belongs to the mesh is the only one that the application has heard of.
    assert knock(mesh, door.port, impostors.client(impostors.made(authority)), door.sni) == GREETING
    until(lambda: greeted(mesh) == before + 1, "one was greeted")


def test_nothing_but_tls_1_3_and_the_right_name_reaches_an_application(
    mesh: SecurityMesh, door: Door, authority: Pair
) -> None:
    before = greeted(mesh)
    member = impostors.made(authority)
    assert knock(mesh, door.port, None, None, b"GET / HTTP/1.1\r\nhost: server.shop\r\n\r\n") == b""
    assert knock(mesh, door.port, None, None, b"\0" * 4096) == b""
    assert knock(mesh, door.port, impostors.client(member, ssl.TLSVersion.TLSv1_2), door.sni, b"hello") == b""
    other_port = door.sni.replace(str(mesh.greeter("server")), str(mesh.ports("server")[2]))
    for sni in (None, "server.shop", other_port, door.sni + ".", "*"):
        assert knock(mesh, door.port, impostors.client(member), sni, b"hello") == b""
    assert knock(mesh, door.port, impostors.client(member), door.sni) == GREETING
    until(lambda: greeted(mesh) == before + 1, "one was greeted")


# Between workloads


class Declared:
    """A TLS server where proxies are, declared by hand as a workload of a service: answers every request with the
    SPIFFE ID of who sent it, and with a number for the connection."""

    def __init__(self, mesh: SecurityMesh, name: str, context: ssl.SSLContext, account: str) -> None:
        self.seen: list[tuple[int, str, bytes]] = []
        self.failures = 0
        self._context = context
        self._listener = mesh.between(lambda: socket.create_server(("127.0.0.1", 0), backlog=64))
        self.port: int = self._listener.getsockname()[1]
        labels = {"app": name}
        ports = [
            {"name": "http", "port": 8080, "appProtocol": "http"},
            {"name": "tcp", "port": 9000, "appProtocol": "tcp"},
        ]
        mesh.apply(
            {
                "apiVersion": "tulle.dev/v1alpha1",
                "kind": "Workload",
                "metadata": {"name": name, "namespace": "shop", "labels": labels},
                "spec": {"address": "127.0.0.1", "meshPort": self.port, "serviceAccount": account},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"selector": labels, "ports": ports},
            },
        )

    def __enter__(self) -> "Declared":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._serve, args=(accepted, number), daemon=True).start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        accepted.settimeout(LIMIT)
        try:
            with self._context.wrap_socket(accepted, server_side=True) as connection:
                names = (connection.getpeercert() or {}).get("subjectAltName", ())
                (caller,) = [value for kind, value in names if kind == "URI"]
                while data := connection.recv(65536):
                    self.seen.append((number, caller, data))
                    answer = caller.encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))
        except (OSError, ValueError):
            self.failures += 1


CALL = """
import http.client
for _ in range({times}):
    connection = http.client.HTTPConnection("{service}.shop", 8080, timeout=10)
    try:
        connection.request("GET", "/{name}")
        answer = connection.getresponse()
        print(answer.status, answer.read().decode())
    finally:
        connection.close()
"""

CALL_TCP = """
import socket
with socket.create_connection(("{service}.shop", 9000), timeout=10) as connection:
    connection.sendall(b"/{name}")
    try:
        print(connection.recv(65536).decode())
    except ConnectionError:
        print()
"""


def test_each_workload_is_itself_and_no_connection_is_anothers(mesh: SecurityMesh, authority: Pair) -> None:
    own = impostors.made(authority, [f"spiffe://{DOMAIN}/ns/shop/sa/tester"])
    with Declared(mesh, "tester", impostors.server(own, authority), "tester") as tester:
        for _ in range(5):
            for name in ("alice", "bob"):
                identity = f"spiffe://{DOMAIN}/ns/shop/sa/{name}"
                answers = mesh.run(name, CALL.format(service="tester", name=name, times=4)).split("\n")[:-1]
                assert answers == [f"200 {identity}"] * 4
                assert identity in mesh.run(name, CALL_TCP.format(service="tester", name=name))
        by_connection: dict[int, set[str]] = {}
        for number, caller, data in tester.seen:
            sender = data.partition(b"/")[2].partition(b" ")[0].decode()
            assert caller == f"spiffe://{DOMAIN}/ns/shop/sa/{sender}"
            by_connection.setdefault(number, set()).add(sender)
        assert all(len(senders) == 1 for senders in by_connection.values())
        assert Counter(sender for (sender,) in by_connection.values()).keys() == {"alice", "bob"}


def test_a_server_that_is_somebody_else_is_sent_nothing(mesh: SecurityMesh, authority: Pair) -> None:
    bob = impostors.made(authority, [f"spiffe://{DOMAIN}/ns/shop/sa/bob"])
    with Declared(mesh, "false-friend", impostors.server(bob, authority), "alice") as impostor:
        (answer,) = mesh.run("alice", CALL.format(service="false-friend", name="alice", times=1)).splitlines()
        assert answer.startswith("503 ")
        assert mesh.run("alice", CALL_TCP.format(service="false-friend", name="alice")) == "\n"
        assert impostor.seen == []


def test_another_workload_at_the_address_of_a_service_is_not_taken_for_it(mesh: SecurityMesh) -> None:
    before = greeted(mesh)
    real = mesh.workload("server")
    port = real["spec"]["meshPort"]
    mesh.apply(
        {
            "apiVersion": "tulle.dev/v1alpha1",
            "kind": "Workload",
            "metadata": {"name": "claimed", "namespace": "shop", "labels": {"app": "claimed"}},
            "spec": {"address": "127.0.0.1", "meshPort": port, "serviceAccount": "bob"},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "claimed", "namespace": "shop"},
            "spec": {
                "selector": {"app": "claimed"},
                "ports": [{"name": "tcp", "port": 9000, "targetPort": mesh.greeter("server"), "appProtocol": "tcp"}],
            },
        },
    )
    assert mesh.run("alice", CALL_TCP.format(service="claimed", name="alice")) == "\n"
    assert greeted(mesh) == before


def test_an_application_does_not_give_orders_to_proxies_nor_says_who_it_is(mesh: SecurityMesh) -> None:
    headers = {
        "x-forwarded-client-cert": f"By=spiffe://{DOMAIN}/ns/shop/sa/server;URI=spiffe://{DOMAIN}/ns/shop/sa/bob",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "X-Envoy-Retry-On": "5xx",
        "x-envoy-original-path": "/admin",
        "x-envoy-internal": "true",
        "x-envoy-external-address": "192.0.2.1",
        "x-harmless": "kept",
    }
    answer = mesh.run(
        "alice",
        f"""
import http.client
connection = http.client.HTTPConnection("server.shop", 8080, timeout=10)
connection.request("GET", "/", headers={headers!r})
print(connection.getresponse().read().decode())
""",
    )
    arrived = {name.lower() for name in json.loads(answer)["headers"]}
    assert "x-harmless" in arrived
    assert [name for name in arrived if name.startswith(("x-envoy-", "x-forwarded-client-cert"))] == []


# Around the proxy


def own_addresses() -> list[str]:
    """The addresses of this network namespace, link-local ones with their interface."""
    with IPRoute() as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
        found = [(a.get_attr("IFA_ADDRESS"), names[a["index"]]) for a in route.get_addr()]
    return [f"{address}%{name}" if address.startswith("fe80:") else address for address, name in found]


def said(address: str, port: int) -> bytes:
    """What is said at a port to whoever asks; nothing where nobody answers."""
    try:
        with socket.create_connection((address, port), LIMIT) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
    except OSError:
        return b""


def listening(pid: int | str) -> set[int]:
    """The TCP ports that somebody listens on in the network namespace of a process."""
    lines = [
        line.split()
        for family in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
    ]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}


@pytest.mark.parametrize("app", APPS)
def test_an_application_answers_nobody_but_its_proxy(mesh: SecurityMesh, app: str) -> None:
    found = listening(mesh.pid(app))
    assert found >= {*mesh.ports(app), OUTBOUND_PORT, DNS_PORT}
    for port in mesh.ports(app):
        assert mesh.inside(app, lambda port=port: said("127.0.0.1", port)) != b""
    before = mesh.app_log(app)
    (other,) = {"alice", "server"} - {app} if app != "bob" else {"alice"}
    places: list[tuple[int | str, Callable[[Callable[[], bytes]], bytes]]] = [
        ("self", lambda look: look()),
        (next(iter(mesh.envoys().values())).pid, mesh.between),
        (mesh.pid(other), lambda look: mesh.inside(other, look)),
    ]
    addresses = own_addresses()
    for place, look in places:
        for port in found - listening(place):
            assert [a for a in addresses if look(lambda a=a, port=port: said(a, port))] == []
    assert mesh.app_log(app) == before


def test_a_proxy_relays_for_nobody_who_asks_its_port(mesh: SecurityMesh, door: Door) -> None:
    """Not to the host's loopback, and not by naming a destination."""
    asked = f"CONNECT 127.0.0.1:{door.port} HTTP/1.1\r\nhost: server.shop:8080\r\n\r\n"
    answers = mesh.run(
        "alice",
        f"""
import socket
for address in ("127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::ffff:127.0.0.1"):
    try:
        connection = socket.create_connection((address, {OUTBOUND_PORT}), timeout=10)
        connection.sendall({asked!r}.encode())
        print(connection.recv(100))
    except OSError:
        print(b"")
""",
    )
    assert answers == "b''\n" * 5


# On the wire


class Wire:
    """Everything that crosses `lo` where proxies speak to each other, while it is open."""

    def __init__(self, mesh: SecurityMesh) -> None:
        self._socket = mesh.between(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind(("lo", ETH_P_ALL))

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def packets(self) -> list[bytes]:
        """What was seen until now. Nothing of it was lost."""
        found = []
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(65536 + 100))
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert dropped == 0
        return found


def test_what_workloads_say_to_each_other_is_not_read_on_the_wire(mesh: SecurityMesh, door: Door) -> None:
    marker = os.urandom(12).hex()
    send = f"""
import http.client, socket
connection = http.client.HTTPConnection("server.shop", 8080, timeout=10)
connection.request("POST", "/{marker}", body="{marker}", headers={{"x-marker": "{marker}", "cookie": "{marker}"}})
print("{marker}" in connection.getresponse().read().decode())
with socket.create_connection(("server-greeter.shop", 9000), timeout=10) as stream:
    stream.sendall(b"{marker}")
    said = b""
    while b"{marker}" not in said:
        said += stream.recv(100)
    print(True)
"""
    with Wire(mesh) as wire:
        assert mesh.run("alice", send) == "True\nTrue\n"
        packets = wire.packets()
        port = door.port.to_bytes(2, "big")
        assert sum(port in packet[34:60] for packet in packets) > 10  # TCP of the mesh was seen
        assert [packet for packet in packets if marker.encode() in packet] == []

        def in_plain() -> None:
            with socket.create_server(("127.0.0.1", 0)) as there, socket.create_connection(there.getsockname()) as here:
                here.sendall(marker.encode())
                there.accept()[0].close()

        mesh.between(in_plain)
        assert [packet for packet in wire.packets() if marker.encode() in packet] != []


# From inside an application


class Outside:
    """Somebody of the host who answers everybody: at an address of the host, on its loopback, on an abstract socket."""

    def __init__(self) -> None:
        self.address = next(a for a in own_addresses() if "." in a and not a.startswith(("127.", "169.254.")))
        self.abstract = f"tulle-test-{os.getpid()}"
        self._listeners = [
            socket.create_server((self.address, 0)),
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_UNIX),
        ]
        self._listeners[2].bind("\0" + self.abstract)
        self._listeners[2].listen()
        self.port: int = self._listeners[0].getsockname()[1]
        self.loopback_port: int = self._listeners[1].getsockname()[1]

    def __enter__(self) -> "Outside":
        for listener in self._listeners:
            threading.Thread(target=self._answer, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    @staticmethod
    def _answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                accepted.sendall(b"answer")
                accepted.close()


def outbound(mode: str) -> dict[str, object]:
    return {
        "apiVersion": "tulle.dev/v1alpha1",
        "kind": "Mesh",
        "metadata": {"name": "default"},
        "spec": {"outboundTrafficPolicy": {"mode": mode}},
    }


def user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def try_everything(mesh: SecurityMesh, app: str, outside: Outside, may_speak_outside: bool) -> list[str]:
    """The names of what worked."""
    others = [mesh.agent_pid, *(e.pid for e in mesh.envoys().values()), *(mesh.pid(a) for a in APPS if a != app)]
    sockets = [str(path.relative_to(mesh.run_dir)) for path in mesh.run_dir.rglob("*") if path.is_socket()]
    assert {"api.sock", "agent.sock", "xds.sock"} < set(sockets)
    assert any("admin" in name for name in sockets)
    known = {
        "run_dir": str(mesh.run_dir),
        "state_dir": str(mesh.state_dir),
        "host": outside.address,
        "port": outside.port,
        "loopback_port": outside.loopback_port,
        "abstract": outside.abstract,
        "sockets": sockets,
        "pids": others,
        "setuid": str(mesh.directory / "set-uid-cat"),
        "secret": str(mesh.directory / "secret"),
        "other_uid": 1,
        # Programs of one user may signal each other, and root's may signal all.
        "others": [pid for pid in others if app != "bob" and user_of(pid) != user_of(mesh.pid(app))],
        "outside": not may_speak_outside,
    }
    program = (Path(__file__).parent / "break_out.py").read_text()
    output = mesh.run(app, f"{program}\nprint(report({known!r}))")
    worked: list[str] = json.loads(output)
    return worked


@pytest.mark.parametrize("app", ["alice", "bob"])
def test_an_application_does_not_get_out(mesh: SecurityMesh, app: str) -> None:
    secret, program = mesh.directory / "secret", mesh.directory / "set-uid-cat"
    secret.write_text("of root")
    secret.chmod(0o600)
    shutil.copy(shutil.which("cat") or "", program)
    for path in (secret, program):
        os.chown(path, 0, 0)
    program.chmod(0o4755)
    with Outside() as outside:
        assert try_everything(mesh, app, outside, may_speak_outside=True) == []
        # What the mesh allows works, so the attempts are attempts.
        speak = f"import socket; print(socket.create_connection({(outside.address, outside.port)}).recv(100))"
        assert mesh.run(app, speak) == "b'answer'\n"
        mesh.apply(outbound("REGISTRY_ONLY"))
        try:
            until(lambda: "answer" not in mesh.run(app, speak), "the mesh is closed")
            assert try_everything(mesh, app, outside, may_speak_outside=False) == []
        finally:
            mesh.apply(outbound("ALLOW_ANY"))
            until(lambda: "answer" in mesh.run(app, speak), "the mesh is open")


def test_who_runs_what(mesh: SecurityMesh) -> None:
    """Proxies have the one capability that they need and are not root; applications are the owners of their files."""
    for envoy in mesh.envoys().values():
        status = dict(line.split(":\t") for line in Path(f"/proc/{envoy.pid}/status").read_text().splitlines())
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[kind], 16) == 1 << 21  # CAP_SYS_ADMIN
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert set(status["Uid"].split()) == {str(PROXY_USER if mesh.user is None else mesh.user)}
        if mesh.user is None:
            assert (set(status["Gid"].split()), status["Groups"].split()) == ({str(PROXY_USER)}, [])
    for app in APPS:
        status = dict(line.split(":\t") for line in Path(f"/proc/{mesh.pid(app)}/status").read_text().splitlines())
        expected = 0 if mesh.user is None and app == "bob" else NOBODY
        assert set(status["Uid"].split()) == {str(expected)}
        assert {status[kind] for kind in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}


# Secrets and files


def needles(mesh: SecurityMesh) -> dict[str, bytes]:
    """What must be nowhere but in its own file, by that: a part of each private key, plain and in Base64."""
    found = {}
    for path in (*mesh.run_dir.rglob("*"), *mesh.state_dir.rglob("*")):
        if path.is_relative_to(mesh.run_dir / "ns"):
            continue
        if path.is_file() and b"PRIVATE KEY-----" in (content := path.read_bytes()):
            key = content[content.index(b"-----BEGIN") : content.index(b"-----END")]
            found[f"{path}"] = key.splitlines()[1][20:60]
            found[f"{path} "] = base64.b64encode(key)[40:90]
    return found


def test_no_secret_is_where_it_can_be_seen(mesh: SecurityMesh, authority: Pair) -> None:
    mesh.run("alice", CALL.format(service="server", name="alice", times=1))
    secrets = needles(mesh)
    names = {Path(name.strip()).name for name in secrets}
    assert names == {"ca.key", "node.pem", "shop~alice.pem", "shop~bob.pem", "shop~server.pem"}
    places: dict[str, bytes] = {}
    for path in (mesh.output, *mesh.run_dir.rglob("*"), *mesh.state_dir.rglob("*")):
        if path.is_file() and str(path) not in secrets and not path.is_relative_to(mesh.run_dir / "ns"):
            places[str(path)] = path.read_bytes()
    for name in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            with contextlib.suppress(OSError):  # it has ended
                places[str(path)] = path.read_bytes()
    for proxy in mesh.envoys():
        places[f"config_dump of {proxy}"] = mesh.admin(proxy, "/config_dump?include_eds").encode()
        places[f"certs of {proxy}"] = mesh.admin(proxy, "/certs").encode()
        places[f"xds of {proxy}"] = json.dumps(mesh.get(f"/v1/proxies/{proxy}/xds")).encode()
        assert b"spiffe://tulle.local/ns/shop/sa/" in places[f"config_dump of {proxy}"]
    assert [(place, name) for place, text in places.items() for name, secret in secrets.items() if secret in text] == []
    token = re.compile(rb"tulle1\.[\w-]+\.[\w-]+\." + pin(authority.certificate).encode())
    assert [place for place, text in places.items() if token.search(text)] == []
    # What is looked for is there where it should be.
    assert all(secret in Path(name).read_bytes() for name, secret in secrets.items() if not name.endswith(" "))


def test_files_are_for_their_owners_only(mesh: SecurityMesh) -> None:
    """Started with a umask of 0. Directories that proxies pass through let their group pass, and nobody see."""
    wrong = []
    for path in (mesh.run_dir, mesh.state_dir, *mesh.run_dir.rglob("*"), *mesh.state_dir.rglob("*")):
        if path.is_relative_to(mesh.run_dir / "ns") or path.is_symlink():
            continue
        allowed = {0o700, 0o710} if path.is_dir() and mesh.user is None else {0o700} if path.is_dir() else {0o600}
        try:
            status = path.lstat()
        except FileNotFoundError:  # files are replaced by others that are written beside them
            continue
        if status.st_mode & 0o7777 not in allowed:
            wrong.append((str(path), oct(status.st_mode)))
        if status.st_mode & 0o070 and status.st_gid != PROXY_USER:
            wrong.append((str(path), f"group {status.st_gid}"))
    assert wrong == []


# The API


def test_the_api_refuses_what_web_pages_and_hostile_files_send(mesh: SecurityMesh) -> None:
    audit = mesh.state_dir / "up" / "control" / "audit.log"
    lines = len(audit.read_text().splitlines())
    path = "/v1/namespaces/shop/services"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "shop"}}
    service["spec"] = {"selector": {"app": "x"}, "ports": [{"port": 80}]}  # type: ignore[assignment]
    deep = b'{"a":' * 100 + b"1" + b"}" * 100
    plain = {"content-type": "application/json"}
    refused = [
        (421, {"headers": {"host": "evil.example"}, "json": service}),
        (403, {"headers": {"origin": "http://evil.example"}, "json": service}),
        (403, {"headers": {"origin": "null"}, "json": service}),
        (415, {"headers": {"content-type": "text/plain"}, "content": json.dumps(service).encode()}),
        (413, {"headers": plain, "content": b'"' + b"x" * (5 << 20) + b'"'}),
        (400, {"headers": plain, "content": deep}),
        (422, {"headers": plain, "content": b"{"}),
    ]
    for name in ("../../etc", "a/b", "A", "", "x" * 300, "a\0b", "a\nb", "-", "x'; drop table", "\u202ea"):
        hostile = {**service, "metadata": {"name": name, "namespace": "shop"}}
        refused.append((422, {"json": hostile}))
    with mesh.api() as api:
        for status, request in refused:
            assert api.post(path, **request).status_code == status, request  # type: ignore[arg-type]
        assert api.post(path, json=service).status_code == 201
        assert api.delete(f"{path}/x").status_code == 200
        assert api.get(f"{path}/..%2f..%2fsecrets").status_code in (400, 404, 422)
    entries = [json.loads(line) for line in audit.read_text().splitlines()[lines:]]
    assert [entry["status"] for entry in entries] == [*(status for status, _ in refused), 201, 200]
    assert all(entry["caller"] == "socket" and entry["path"].startswith(path) for entry in entries)
    assert all(entry["reason"] for entry in entries if entry["status"] >= 400)


def test_files_are_read_within_limits(tmp_path: Path) -> None:
    """A few lines of YAML would be gigabytes."""
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    hostile = {
        "bomb": f"l0: &l0 [a, a]\n{levels}\n",
        "deep": "[" * 5000,
        "tag": "apiVersion: v1\nkind: !!python/object/apply:os.system [id]\n",
        "self": "a: &a [*a]\n",
        "merge": "a: &a {b: c}\nd: {<<: *a}\n",
    }
    for name, text in hostile.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        command = [sys.executable, str(Path(sys.executable).with_name("tulle")), "check", "-f", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), (name, done.stdout, done.stderr)
        assert done.stdout + done.stderr != ""
