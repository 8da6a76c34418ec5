"""Questions are read whatever they are; answers are those of the DNS."""

from ipaddress import ip_address

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from tulle.agent.capture.dns_message import (
    Malformed,
    MeshName,
    Query,
    answer,
    answers,
    failed,
    mesh_name,
    no_such_name,
    parse,
    truncated,
)

BOTH = (ip_address("240.240.0.1"), ip_address("fd74:756c:6c65:1::1"))


def question(name: str, qtype: str = "A") -> Query:
    parsed = parse(DNSRecord.question(name, qtype).pack())
    assert isinstance(parsed, Query)
    return parsed


@pytest.mark.parametrize("name", ["Catalog.SHOP", "catalog.shop."])
def test_names_are_read_without_case_and_last_dot(name: str) -> None:
    assert question(name).name == "catalog.shop"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("catalog", MeshName("catalog", ours=False)),
        ("catalog.shop", MeshName("catalog.shop", ours=False)),
        ("catalog.shop.svc", MeshName("catalog.shop", ours=True)),
        ("catalog.shop.svc.cluster.local", MeshName("catalog.shop", ours=True)),
        ("api.example.com", MeshName("api.example.com", ours=False)),
        ("catalog.svc.cluster.local", None),
        ("catalog.svc", None),
        ("cluster.local", None),
        ("x.pod.cluster.local", None),
    ],
)
def test_which_names_are_ours(asked: str, expected: MeshName | None) -> None:
    assert mesh_name(asked, ("cluster.local",)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("catalog.shop.svc", MeshName("catalog.shop", ours=True)),
        ("catalog.shop.svc.corp.example", MeshName("catalog.shop", ours=True)),
        ("catalog.shop.svc.other.example", MeshName("catalog.shop", ours=True)),
        ("catalog.svc.corp.example", None),
        ("svc.corp.example", None),
        ("intranet.corp.example", MeshName("intranet.corp.example", ours=False)),
        ("catalog.shop.svc.cluster.local", MeshName("catalog.shop.svc.cluster.local", ours=False)),
        ("x.cluster.local", MeshName("x.cluster.local", ours=False)),
        ("notsvc.corp.example", MeshName("notsvc.corp.example", ours=False)),
    ],
)
def test_other_domains_share_their_names_with_the_world(asked: str, expected: MeshName | None) -> None:
    assert mesh_name(asked, ("corp.example", "other.example")) == expected


@pytest.mark.parametrize(
    ("qtype", "addresses"), [("A", ["240.240.0.1"]), ("AAAA", ["fd74:756c:6c65:1::1"]), ("HTTPS", []), ("MX", [])]
)
def test_an_answer_has_the_addresses_of_the_type_asked_for(qtype: str, addresses: list[str]) -> None:
    reply = DNSRecord.parse(answer(question("Catalog.shop", qtype), BOTH))
    assert [str(found.rdata) for found in reply.rr] == addresses
    assert [found.rtype for found in reply.auth] == ([] if addresses else [QTYPE.SOA])
    assert (reply.header.rcode, reply.header.aa, reply.header.ra) == (RCODE.NOERROR, 1, 1)


def test_an_answer_repeats_the_case_that_was_asked() -> None:
    packet = DNSRecord.question("CaTaLog.shop").pack()
    assert b"CaTaLog" in answer(Query(packet, "catalog.shop", 1, True), BOTH)


def test_failures_keep_number_and_question() -> None:
    asked = question("catalog.shop")
    for packet, code in ((failed(asked), RCODE.SERVFAIL), (no_such_name(asked), RCODE.NXDOMAIN)):
        reply = DNSRecord.parse(packet)
        assert reply.header.rcode == code
        assert answers(packet, asked.packet)
    assert DNSRecord.parse(truncated(asked)).header.tc == 1


def test_what_is_not_one_question_is_refused() -> None:
    two = DNSRecord.question("a.b")
    two.add_question(DNSRecord.question("c.d").q)
    status = DNSRecord.question("a.b")
    status.header.opcode = 2
    cut = DNSRecord.question("a.b").pack()[:15]
    for packet, code in ((two.pack(), RCODE.FORMERR), (status.pack(), RCODE.NOTIMP), (cut, RCODE.FORMERR)):
        refused = parse(packet)
        assert isinstance(refused, Malformed)
        assert refused.reply is not None
        assert DNSRecord.parse(refused.reply).header.rcode == code
        assert refused.reply[:2] == packet[:2]


def test_a_response_is_no_question() -> None:
    assert parse(DNSRecord.question("a.b").reply().pack()) == Malformed(None)


def test_only_the_response_to_the_question_answers_it() -> None:
    asked = DNSRecord.question("api.example.com")
    right = asked.reply().pack()
    other = DNSRecord.question("api.example.org").reply().pack()
    assert answers(right, asked.pack())
    assert not answers(asked.pack(), asked.pack())
    assert not answers(b"\0\0" + right[2:], b"\0\1" + asked.pack()[2:])
    assert not answers(right[:2] + other[2:], asked.pack())


@given(st.binary(max_size=600))
def test_any_packet_is_read_without_harm(packet: bytes) -> None:
    parsed = parse(packet)
    if isinstance(parsed, Query):
        for reply in (answer(parsed, BOTH), no_such_name(parsed), failed(parsed), truncated(parsed)):
            assert reply[:2] == packet[:2]
    answers(packet, packet)


@given(st.data())
def test_any_damaged_question_is_read_without_harm(data: st.DataObject) -> None:
    packet = bytearray(DNSRecord.question("catalog.shop.svc.cluster.local", "AAAA").pack())
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    parsed = parse(bytes(packet))
    if isinstance(parsed, Query):
        assert answer(parsed, BOTH)[:2] == packet[:2]


@given(st.from_regex(r"[a-z0-9-]{1,5}(\.[a-z0-9-]{1,5})*(\.svc|\.svc\.cluster\.local)?", fullmatch=True))
def test_any_name_is_ours_or_not(name: str) -> None:
    found = mesh_name(name, ("cluster.local",))
    assert found is None or found.name
