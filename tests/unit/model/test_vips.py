from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model import vips
from tulle.model.names import ServiceName

CATALOG = ServiceName("shop", "catalog")
names = st.builds(ServiceName, st.text(max_size=8), st.text(max_size=8))


def nothing(_: str) -> bool:
    return False


@given(names, st.booleans())
def test_an_address_lies_in_the_range_of_its_meaning(name: ServiceName, http: bool):
    address = vips.allocate(name, http, nothing)
    assert IPv4Address(address) in (vips.HTTP_V4 if http else vips.TCP_V4)
    assert vips.carries_http(address) is http
    assert vips.is_virtual(address)
    assert IPv6Address(vips.v6_of(address)) in (vips.HTTP_V6 if http else vips.TCP_V6)


@given(names)
def test_no_service_gets_the_first_or_the_last_address_of_a_range(name: ServiceName):
    assert IPv4Address(vips.allocate(name, True, nothing)) not in (vips.HTTP_V4[0], vips.HTTP_V4[-1])


def test_an_address_follows_from_the_name_alone():
    assert vips.allocate(CATALOG, True, nothing) == vips.allocate(ServiceName("shop", "catalog"), True, nothing)
    assert vips.allocate(CATALOG, True, nothing) != vips.allocate(ServiceName("bank", "catalog"), True, nothing)


def test_what_is_taken_is_stepped_over():
    first = vips.allocate(CATALOG, True, nothing)
    second = vips.allocate(CATALOG, True, lambda a: a == first)
    assert IPv4Address(second) == IPv4Address(first) + 1


def test_after_the_end_of_a_range_comes_its_start():
    first = IPv4Address(vips.allocate(CATALOG, True, nothing))
    found = vips.allocate(CATALOG, True, lambda a: IPv4Address(a) >= first)
    assert IPv4Address(found) == vips.HTTP_V4[1]


def test_a_full_range_says_so():
    seen: set[str] = set()
    with pytest.raises(vips.OutOfAddresses, match="no free address"):
        vips.allocate(CATALOG, False, lambda a: not seen.add(a))
    assert len(seen) == vips.TCP_V4.num_addresses - 2


def test_the_ipv6_address_has_the_same_number():
    assert vips.v6_of("240.240.0.1") == "fd74:756c:6c65:1::f0f0:1"
    assert vips.v6_of("240.244.0.1") == "fd74:756c:6c65:2::f0f4:1"


@pytest.mark.parametrize("address", ["10.96.0.1", "127.0.0.1", "240.248.0.0", "fd00::1", "None", "", "240.240.00.1"])
def test_other_addresses_are_not_virtual(address: str):
    assert not vips.is_virtual(address)
