"""The header says where a connection was going, or is refused."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.agent.capture.proxy_protocol import (
    MOST,
    PREFIX_SIZE,
    SIGNATURE,
    Destination,
    HeaderError,
    body_size,
    destination,
    header,
)

ports = st.integers(0, 65535)
destinations = st.builds(Destination, st.ip_addresses(v=4), ports) | st.builds(
    Destination, st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None), ports
)


def read(packet: bytes) -> Destination:
    prefix, rest = packet[:PREFIX_SIZE], packet[PREFIX_SIZE:]
    return destination(prefix, rest[: body_size(prefix)])


@given(destinations)
def test_what_is_written_is_read(to: Destination) -> None:
    source = Destination(IPv4Address(0) if to.address.version == 4 else IPv6Address(0), 1)
    assert read(header(source, to)) == to


@given(st.binary(max_size=100))
def test_whatever_comes_is_read_or_refused(packet: bytes) -> None:
    for whole in (packet, SIGNATURE + packet):
        try:
            assert isinstance(read(whole), Destination)
        except HeaderError:
            continue


def test_an_ipv4_address_is_one_however_it_is_written() -> None:
    mapped = IPv6Address("::ffff:169.254.169.254")
    assert read(header(Destination(mapped, 1), Destination(mapped, 80))).address == IPv4Address("169.254.169.254")


@pytest.mark.parametrize(
    "prefix",
    [
        b"PROXY TCP4 1.2.3",
        SIGNATURE + bytes([0x20, 0x00, 0, 0]),
        SIGNATURE + bytes([0x11, 0x11, 0, 12]),
        SIGNATURE + bytes([0x21, 0x11]) + (MOST + 1).to_bytes(2, "big"),
        SIGNATURE,
    ],
)
def test_other_headers_are_refused(prefix: bytes) -> None:
    with pytest.raises(HeaderError):
        body_size(prefix)


@pytest.mark.parametrize(("family", "size"), [(0x11, 11), (0x21, 35), (0x12, 12), (0x31, 216), (0x00, 0)])
def test_other_addresses_are_refused(family: int, size: int) -> None:
    with pytest.raises(HeaderError):
        destination(SIGNATURE + bytes([0x21, family, 0, size]), bytes(size))


def test_additions_are_passed_over() -> None:
    to = Destination(IPv4Address("192.0.2.1"), 443)
    packet = bytearray(header(to, to))
    packet[15] += 4
    assert read(bytes(packet) + b"\x04\0\x01\0rest") == to
