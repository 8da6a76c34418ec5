"""Reads DNS questions and writes answers; decides which names are the mesh's. Pure.

Sources: RFC 1035, RFC 2308 (negative answers), the names of services as Kubernetes' DNS specification has them.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from dnslib import AAAA, CLASS, QTYPE, RCODE, RR, SOA, A, DNSBuffer, DNSHeader, DNSQuestion, DNSRecord
from dnslib.buffer import BufferError as DnsBufferError
from dnslib.dns import DNSError
from dnslib.label import DNSLabelError
from msgspec import Struct

CLUSTER_DOMAIN = "cluster.local"
"""The domain that a mesh has where it names no other. Nobody on the Internet has it."""

# A service keeps its address for as long as it exists, but may come into being at any moment.
KNOWN_SECONDS = 30
UNKNOWN_SECONDS = 3

HEADER_SIZE = 12
_RESPONSE_BIT = 0x80

Address = IPv4Address | IPv6Address


class Query(Struct, frozen=True):
    """One well-formed question. `name` is lower-case, without the last dot; None where it has odd characters."""

    packet: bytes
    name: str | None
    type: int
    internet: bool


class Malformed(Struct, frozen=True):
    """Not a question that can be answered; `reply` says so, None where there is nobody to tell."""

    reply: bytes | None


class MeshName(Struct, frozen=True):
    """What to look a name up as. Where `ours`, nobody else may be asked about it."""

    name: str
    ours: bool


def parse(packet: bytes) -> Query | Malformed:
    """Reads a packet from an application, whatever it is."""
    if len(packet) < HEADER_SIZE or packet[2] & _RESPONSE_BIT:
        return Malformed(None)
    try:
        header, question = _read(packet)
    except (DNSError, DnsBufferError, DNSLabelError, ValueError, IndexError):
        return Malformed(_bare_reply(packet, RCODE.FORMERR))
    if header.opcode != 0:
        return Malformed(_bare_reply(packet, RCODE.NOTIMP))
    if header.q != 1:
        return Malformed(_bare_reply(packet, RCODE.FORMERR))
    return Query(packet, _name(question.qname.label), question.qtype, question.qclass == CLASS.IN)


def _read(packet: bytes) -> tuple[DNSHeader, DNSQuestion]:
    buffer = DNSBuffer(packet)
    return DNSHeader.parse(buffer), DNSQuestion.parse(buffer)


def _name(labels: tuple[bytes, ...]) -> str | None:
    usable = all(label.isascii() and label.replace(b"-", b"").replace(b"_", b"").isalnum() for label in labels)
    return b".".join(labels).decode("ascii").lower() if usable and labels else None


def _bare_reply(packet: bytes, code: int) -> bytes:
    """An answer without a question section, for a question that could not be read."""
    flags = bytes([_RESPONSE_BIT | packet[2] & 0x79, 0x80 | code])
    return packet[:2] + flags + b"\0" * 8


def mesh_name(name: str, domains: Sequence[str]) -> MeshName | None:
    """What a resolver is asked about `name`; None where it cannot exist although it is ours.

    `catalog.shop`, `catalog.shop.svc` and `catalog.shop.svc.<one of domains>` are asked as `catalog.shop`; all other
    names as they are. Of a domain only what is below `svc` is ours, as the rest of it may exist elsewhere; of
    `cluster.local`, everything.
    """
    for zone in (*(f"svc.{domain}" for domain in domains), "svc"):
        if _is_in(name, zone):
            service = name.removesuffix(zone).removesuffix(".")
            return MeshName(service, ours=True) if "." in service else None
    if CLUSTER_DOMAIN in domains and _is_in(name, CLUSTER_DOMAIN):
        return None
    return MeshName(name, ours=False)


def _is_in(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")


def answer(query: Query, addresses: tuple[Address, ...]) -> bytes:
    """Those of `addresses` that are of the type asked for; where none is, that the name has no such record."""
    record = _reply(query, RCODE.NOERROR)
    name = record.questions[0].qname
    for address in addresses:
        if query.type == QTYPE.A and address.version == 4:
            record.add_answer(RR(name, QTYPE.A, rdata=A(str(address)), ttl=KNOWN_SECONDS))
        if query.type == QTYPE.AAAA and address.version == 6:
            record.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA(str(address)), ttl=KNOWN_SECONDS))
    if not record.rr:
        record.add_auth(_authority(str(name)))
    return bytes(record.pack())


def no_such_name(query: Query) -> bytes:
    """The name does not exist."""
    record = _reply(query, RCODE.NXDOMAIN)
    record.add_auth(_authority(str(record.questions[0].qname)))
    return bytes(record.pack())


def failed(query: Query, code: int = RCODE.SERVFAIL) -> bytes:
    """The name could not be looked up."""
    return bytes(_reply(query, code).pack())


def truncated(query: Query) -> bytes:
    """The answer is too long for UDP: ask again over TCP."""
    record = _reply(query, RCODE.NOERROR)
    record.header.tc = 1
    return bytes(record.pack())


def _reply(query: Query, code: int) -> DNSRecord:
    header, question = _read(query.packet)
    made = DNSHeader(id=header.id, qr=1, aa=1, rd=header.rd, ra=1, rcode=code)
    return DNSRecord(made, questions=[question])


def _authority(name: str) -> RR:
    times = (1, 3600, 600, 86400, UNKNOWN_SECONDS)
    rdata = SOA(f"dns.{CLUSTER_DOMAIN}", f"nobody.{CLUSTER_DOMAIN}", times)
    return RR(name, QTYPE.SOA, rdata=rdata, ttl=UNKNOWN_SECONDS)


def answers(packet: bytes, asked: bytes) -> bool:
    """Whether `packet` is the response to the question `asked`: same number, same question."""
    if len(packet) < HEADER_SIZE or packet[:2] != asked[:2] or not packet[2] & _RESPONSE_BIT:
        return False
    try:
        _, theirs = _read(packet)
        _, ours = _read(asked)
    except (DNSError, DnsBufferError, DNSLabelError, ValueError, IndexError):
        return False
    return bool(theirs.qname == ours.qname and theirs.qtype == ours.qtype and theirs.qclass == ours.qclass)
