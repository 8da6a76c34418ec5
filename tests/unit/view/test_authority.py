import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import mesh

from tulle.model.kinds import Resource
from tulle.model.mesh import MeshDns, MeshSpec
from tulle.model.service import ServicePortSpec
from tulle.model.snapshot import build
from tulle.view.authority import port_addressed, service_named, split_authority
from tulle.view.reader import Reader

CATALOG = mesh.service("catalog", [mesh.HTTP, mesh.TCP], address="240.240.0.1")
LEDGER = mesh.service("ledger", [ServicePortSpec(80, "http"), ServicePortSpec(81, "grpc")], namespace="bank")


def reader(*resources: Resource) -> Reader:
    return Reader(build([CATALOG, LEDGER, *resources]))


def addressed(authority: str, namespace: str = "shop", *resources: Resource) -> str:
    """What an authority means, as `service:port`."""
    found = port_addressed(reader(*resources), namespace, authority)
    return f"{found[0].name}:{found[1].port}" if found else ""


@pytest.mark.parametrize(
    "authority",
    [
        "catalog:8080",
        "catalog.shop:8080",
        "catalog.shop.svc:8080",
        "catalog.shop.svc.cluster.local:8080",
        "catalog.shop.svc.cluster.local.:8080",
        "catalog.:8080",
        "CATALOG.Shop:8080",
        "240.240.0.1:8080",
        "[fd74:756c:6c65:1::f0f0:1]:8080",
        "[FD74:756C:6C65:1:0::F0F0:1]:8080",
    ],
)
def test_a_service_has_many_names(authority: str):
    assert addressed(authority) == "catalog.shop:8080"


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":",
        ":8080",
        ".",
        "..",
        ".shop:8080",
        "catalog.shop.cluster.local:8080",
        "catalog.shop.svc.example.com:8080",
        "catalog.shop.svc.cluster.local.evil:8080",
        "x.catalog.shop:8080",
        "catalog..shop:8080",
        "catalog..:8080",
        "catalog:",
        "catalog:0",
        "catalog:-1",
        "catalog:8081",
        "catalog:99999",
        "catalog:080800",
        "catalog:٨٠٨٠",
        "catalog:http",
        "240.240.0.2:8080",
        "240.240.1:8080",
        "[240.240.0.1:8080",
        "*",
        "*.shop:8080",
        "catalog.bank:8080",
        "example.com",
    ],
)
def test_what_names_no_port_of_a_service_means_nothing(authority: str):
    assert addressed(authority) == ""


def test_a_short_name_is_the_clients_own():
    assert addressed("catalog:8080", "bank") == ""
    assert addressed("ledger:80", "bank") == "ledger.bank:80"
    assert addressed("catalog.shop:8080", "bank") == "catalog.shop:8080"


class TestWithoutAPort:
    def test_is_80(self):
        assert addressed("ledger", "bank") == "ledger.bank:80"

    def test_is_the_only_port_that_carries_http(self):
        assert addressed("catalog") == "catalog.shop:8080"
        assert addressed("240.240.0.1") == "catalog.shop:8080"
        assert addressed("[fd74:756c:6c65:1::f0f0:1]") == "catalog.shop:8080"

    def test_is_none_of_several(self):
        two = mesh.service("two", [ServicePortSpec(81, "http-a"), ServicePortSpec(82, "http-b")])
        assert addressed("two", "shop", two) == ""
        assert addressed("two:82", "shop", two) == "two.shop:82"


def test_a_port_of_plain_tcp_has_no_authority():
    assert addressed("catalog:9000") == ""


def test_domains_are_the_meshs():
    other = mesh.mesh(MeshSpec(dns=MeshDns(domains=("mesh.example", "other"))))
    assert addressed("catalog.shop.svc.mesh.example:8080", "shop", other) == "catalog.shop:8080"
    assert addressed("catalog.shop.svc.other:8080", "shop", other) == "catalog.shop:8080"
    assert addressed("catalog.shop.svc.cluster.local:8080", "shop", other) == ""
    assert addressed("catalog.shop.svc:8080", "shop", other) == "catalog.shop:8080"


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("catalog", ("catalog", None)),
        ("catalog:80", ("catalog", 80)),
        ("[::1]", ("[::1]", None)),
        ("[::1]:80", ("[::1]", 80)),
        ("a:b:80", ("a:b", 80)),
        ("catalog:+8", ("catalog", 0)),
        ("catalog:1_0", ("catalog", 0)),
        ("catalog:" + "9" * 5000, ("catalog", 0)),
        ("", ("", None)),
    ],
)
def test_an_authority_is_split_at_its_last_colon(authority: str, parts: tuple[str, int | None]):
    assert split_authority(authority) == parts


hostile = st.one_of(
    st.text(),
    st.text("catlogshp.svn:0123456789[]%*/\\@ ;", max_size=40),
    st.from_regex(r"\[?[0-9a-f:.%]{1,40}\]?(:[0-9]{0,7})?", fullmatch=True),
)


@given(hostile, hostile)
def test_no_authority_is_too_strange_to_answer(authority: str, namespace: str):
    port_addressed(reader(), namespace, authority)
    service_named(reader(), namespace, authority)
