"""What may not be dialled for an application."""

from ipaddress import ip_address

import pytest

from tulle.agent.capture.gateway import is_outside


@pytest.mark.parametrize("address", ["8.8.8.8", "10.1.2.3", "192.168.1.1", "2001:4860::8888", "fd00::1"])
def test_the_world_may_be_reached(address: str) -> None:
    assert is_outside(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "240.240.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
    ],
)
def test_this_host_its_link_and_groups_may_not(address: str) -> None:
    assert not is_outside(ip_address(address))


def test_the_world_behind_an_ipv6_only_network_may_be_reached() -> None:
    assert is_outside(ip_address("64:ff9b::808:808"))
