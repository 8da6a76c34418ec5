"""Names and keys are the same thing in two spellings, whatever a proxy asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName, WorkloadPort
from tulle.xds import type_urls
from tulle.xds.names import PLACEHOLDER_AUTHORITY, key_of, name_of

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
ports = st.integers(1, 65535)
workloads = st.builds(WorkloadName, labels, names)
service_ports = st.builds(ServicePort, st.builds(ServiceName, labels, names), ports)
authorities = st.from_regex(r"[!-.0-@\[-~]{1,40}", fullmatch=True)
addresses = st.one_of(
    st.builds("{}:{}".format, st.ip_addresses(v=4), ports), st.builds("[{}]:{}".format, st.ip_addresses(v=6), ports)
)
proxies = st.builds(ProxyId, names, st.none() | workloads).map(str)

KEYS = st.one_of(
    st.builds(ListenerKey, workloads, st.sampled_from(["inbound", "outbound"])),
    st.builds(RouteConfigKey, labels),
    st.builds(VirtualHostKey, labels, authorities),
    st.builds(ClusterKey, service_ports),
    st.builds(TcpClusterKey, labels, addresses),
    st.builds(LocalClusterKey, st.builds(WorkloadPort, workloads, ports)),
    st.builds(PassthroughClusterKey, st.just("") | st.from_regex(r"/[!-~]{1,30}", fullmatch=True)),
    st.builds(IdentitiesClusterKey, proxies),
    st.builds(EndpointsKey, service_ports),
    st.builds(TcpEndpointsKey, labels, addresses),
    st.builds(NodeKey, names),
    st.builds(NameKey, labels, authorities),
)
TYPES = st.sampled_from([*type_urls.SEND_ORDER, "", "type.googleapis.com/nothing"])
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["/", ":", "a", ".", "tcp", "local", "passthrough", "identities", "1.2.3.4", "[::1]", "080", "~"]
        ),
        max_size=8,
    ).map("".join),
)


@given(KEYS)
def test_a_key_reads_back(key: Key) -> None:
    assert key_of(*name_of(key)) == key


@given(TYPES, HOSTILE)
def test_a_name_has_one_reading_or_none(type_url: str, name: str) -> None:
    key = key_of(type_url, name)
    assert key is None or name_of(key) == (type_url, name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ListenerKey(WorkloadName("shop", "web-1"), "outbound"), "outbound/shop/web-1"),
        (RouteConfigKey("shop"), "shop"),
        (VirtualHostKey("shop", "catalog:8080"), "shop/catalog:8080"),
        (ClusterKey(ServicePort(ServiceName("shop", "catalog"), 8080)), "catalog.shop:8080"),
        (TcpClusterKey("shop", "[fd74::1]:9000"), "tcp/shop/[fd74::1]:9000"),
        (LocalClusterKey(WorkloadPort(WorkloadName("shop", "web-1"), 80)), "local/shop/web-1/80"),
        (PassthroughClusterKey("/run/tulle/gateway.sock"), "passthrough/run/tulle/gateway.sock"),
        (IdentitiesClusterKey("node~n1"), "identities/node~n1"),
    ],
)
def test_names_are_these(key: Key, name: str) -> None:
    assert name_of(key)[1] == name


@pytest.mark.parametrize(
    ("type_url", "name"),
    [
        (type_urls.CLUSTER, "catalog.shop:080"),
        (type_urls.CLUSTER, "catalog.shop:65536"),
        (type_urls.CLUSTER, "catalog.shop:8080\n"),
        (type_urls.CLUSTER, "catalog:8080"),
        (type_urls.CLUSTER, "tcp/shop/[fd74:0::1]:9000"),
        (type_urls.CLUSTER, "tcp/shop/fd74::1:9000"),
        (type_urls.CLUSTER, "tcp/shop/240.244.0.01:9000"),
        (type_urls.CLUSTER, "passthroughrun"),
        (type_urls.LISTENER, "sideways/shop/web-1"),
        (type_urls.VIRTUAL_HOST, "shop/"),
        (type_urls.VIRTUAL_HOST, "shop/Catalog"),
        (type_urls.VIRTUAL_HOST, "shop/a/b"),
        (type_urls.VIRTUAL_HOST, "/catalog"),
        (type_urls.SECRET, "spiffe://tulle.local/ns/shop/sa/web"),
    ],
)
def test_almost_a_name_is_none(type_url: str, name: str) -> None:
    assert key_of(type_url, name) is None


def test_the_placeholder_is_a_virtual_host() -> None:
    type_url, name = name_of(VirtualHostKey("shop", PLACEHOLDER_AUTHORITY))
    assert key_of(type_url, name) == VirtualHostKey("shop", PLACEHOLDER_AUTHORITY)
