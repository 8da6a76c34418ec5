"""A workload's DNS on real sockets: services, limits, and whatever else may come."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence

from dnslib import RCODE, DNSRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tulle.agent.capture.dns import DnsLimits, DnsSockets, serve_dns
from tulle.agent.capture.dns_upstream import Upstream


class Names:
    """Knows `catalog.shop`, fails for `broken.shop`, and keeps `slow.shop` waiting."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def lookup(self, client_namespace: str, name: str) -> tuple[str, ...] | None:
        self.asked.append((client_namespace, name))
        if name == "broken.shop":
            raise RuntimeError("broken")
        if name == "slow.shop":
            await asyncio.Event().wait()
        if name == "large.shop":
            return tuple(f"240.240.0.{index}" for index in range(100))
        return ("240.240.0.1",) if name == "catalog.shop" else None


@contextlib.asynccontextmanager
async def serving(
    names: Names,
    limits: DnsLimits = DnsLimits(),  # noqa: B008
    domains: Sequence[str] = ("cluster.local",),
) -> AsyncIterator[tuple[str, int]]:
    """Goes by the present contents of `domains`."""
    tcp = socket.create_server(("127.0.0.1", 0))  # first: few use UDP, so its port is free there, too
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    for bound in (udp, tcp):
        bound.setblocking(False)
    address = udp.getsockname()
    task = asyncio.create_task(
        serve_dns(DnsSockets((udp,), (tcp,)), "shop", names, Upstream(lambda: ()), lambda: domains, limits)
    )
    try:
        yield address
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert (udp.fileno(), tcp.fileno()) == (-1, -1)


@contextlib.contextmanager
def client(address: tuple[str, int]) -> "contextlib.Iterator[socket.socket]":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.connect(address)
        yield made


async def ask(asking: socket.socket, name: str) -> DNSRecord:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(asking, DNSRecord.question(name).pack())
    async with asyncio.timeout(5):
        return DNSRecord.parse(await loop.sock_recv(asking, 4096))


async def test_what_is_asked_of_the_resolver() -> None:
    names = Names()
    async with serving(names) as address:
        with client(address) as asking:
            assert len((await ask(asking, "Catalog.Shop.svc.cluster.local")).rr) == 1
            assert (await ask(asking, "api.example.com")).header.rcode == RCODE.SERVFAIL
            assert (await ask(asking, "absent.shop.svc")).header.rcode == RCODE.NXDOMAIN
            assert (await ask(asking, "x.cluster.local")).header.rcode == RCODE.NXDOMAIN
            assert [str(found.rdata) for found in (await ask(asking, "localhost")).rr] == ["127.0.0.1"]
    assert names.asked == [("shop", "catalog.shop"), ("shop", "api.example.com"), ("shop", "absent.shop")]


async def test_the_meshs_domains_may_change_while_questions_come() -> None:
    domains = ["cluster.local"]
    async with serving(Names(), domains=domains) as address:
        with client(address) as asking:
            assert (await ask(asking, "catalog.shop.svc.corp.example")).header.rcode == RCODE.SERVFAIL
            domains.append("corp.example")
            for domain in domains:
                assert len((await ask(asking, f"catalog.shop.svc.{domain}")).rr) == 1
            domains.remove("cluster.local")
            assert (await ask(asking, "catalog.shop.svc.cluster.local")).header.rcode == RCODE.SERVFAIL


async def test_a_failing_resolver_fails_one_question() -> None:
    async with serving(Names()) as address:
        with client(address) as asking:
            assert (await ask(asking, "broken.shop")).header.rcode == RCODE.SERVFAIL
            assert len((await ask(asking, "catalog.shop")).rr) == 1


async def test_a_long_answer_is_asked_for_again_over_tcp() -> None:
    async with serving(Names()) as address:
        with client(address) as asking:
            assert (await ask(asking, "large.shop")).header.tc == 1
        reader, writer = await asyncio.open_connection(*address)
        packet = DNSRecord.question("large.shop").pack()
        for _ in range(2):
            writer.write(struct.pack("!H", len(packet)) + packet)
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            assert len(DNSRecord.parse(await reader.readexactly(size)).rr) == 100
        writer.close()


async def test_too_many_questions_at_once_are_dropped_and_room_returns() -> None:
    names = Names()
    async with serving(names, DnsLimits(questions=1)) as address:
        with client(address) as asking:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(asking, DNSRecord.question("slow.shop").pack())
            while not names.asked:
                await asyncio.sleep(0.001)
            await loop.sock_sendall(asking, DNSRecord.question("catalog.shop").pack())
            # TCP has room of its own; when it has answered, the dropped question had its chance.
            reader, writer = await asyncio.open_connection(*address)
            packet = DNSRecord.question("catalog.shop").pack()
            writer.write(struct.pack("!H", len(packet)) + packet)
            await reader.readexactly(2)
            writer.close()
    assert names.asked == [("shop", "slow.shop"), ("shop", "catalog.shop")]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packets=st.lists(st.binary(max_size=80), max_size=20))
async def test_whatever_comes_the_next_question_is_answered(packets: list[bytes]) -> None:
    async with serving(Names()) as address:
        with client(address) as noise:
            for packet in packets:
                noise.send(packet)
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"".join(packets))
        writer.close()
        with client(address) as asking:
            assert len((await ask(asking, "catalog.shop")).rr) == 1
