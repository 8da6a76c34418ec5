"""Which chain takes a captured connection."""

from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from tulle.model.keys import ListenerKey, PassthroughClusterKey
from tulle.model.names import SpiffeId, WorkloadName
from tulle.view.types import CapturedPort, OutboundListenerView
from tulle.xds.listener import outbound

WORKLOAD = WorkloadName("shop", "web-1")


def listener(passthrough: PassthroughClusterKey | None = None, exceptions: tuple[CapturedPort, ...] = ()) -> Listener:
    identity = SpiffeId("tulle.local", "shop", "web")
    key = ListenerKey(WORKLOAD, "outbound")
    view = OutboundListenerView(key, "/run/ns/web", identity, "shop", passthrough, exceptions)
    return Listener.FromString(outbound(view).body)


def matches(chain: FilterChain) -> tuple[str, int, str]:
    """The kind of chain, its port (0: any) and its first range."""
    kind = "closed"
    if chain.filters:
        kind = "tcp" if chain.filters[-1].name.endswith("tcp_proxy") else "http"
    match = chain.filter_chain_match
    first = match.prefix_ranges[0]
    return kind, match.destination_port.value, f"{first.address_prefix}/{first.prefix_len.value}"


def test_the_ranges_are_said_again_for_the_port_of_an_exception() -> None:
    """Envoy does not look at chains without a port once it found one with the connection's port."""
    exceptions = (
        CapturedPort(("240.240.0.9", "fd74:756c:6c65:1::f0f0:9"), 9000, "tcp"),
        CapturedPort(("240.240.0.10",), 9000, "tcp"),
        CapturedPort(("240.244.0.9",), 80, "http2"),
    )
    assert [matches(chain) for chain in listener(exceptions=exceptions).filter_chains] == [
        ("http", 0, "240.240.0.0/14"),
        ("tcp", 0, "240.244.0.0/14"),
        ("closed", 0, "127.0.0.0/8"),
        ("http", 80, "240.240.0.0/14"),
        ("tcp", 80, "240.244.0.0/14"),
        ("closed", 80, "127.0.0.0/8"),
        ("http", 9000, "240.240.0.0/14"),
        ("tcp", 9000, "240.244.0.0/14"),
        ("closed", 9000, "127.0.0.0/8"),
        ("tcp", 9000, "240.240.0.9/32"),
        ("tcp", 9000, "240.240.0.10/32"),
        ("http", 80, "240.244.0.9/32"),
    ]


def test_chains_have_names_of_their_own() -> None:
    exceptions = (CapturedPort(("240.240.0.9",), 9000, "tcp"), CapturedPort(("240.240.0.10",), 9000, "tcp"))
    names = [chain.name for chain in listener(exceptions=exceptions).filter_chains]
    assert len(set(names)) == len(names)


def test_only_chains_depend_on_what_changes() -> None:
    """Any other difference would close all connections of the listener."""
    plain = listener()
    other = listener(PassthroughClusterKey(), (CapturedPort(("240.240.0.9",), 9000, "tcp"),))
    for changed in (plain, other):
        changed.ClearField("filter_chains")
        changed.ClearField("default_filter_chain")
    assert plain == other


def test_without_passthrough_there_is_no_chain_for_other_addresses() -> None:
    assert not listener().HasField("default_filter_chain")
    assert listener(PassthroughClusterKey()).default_filter_chain.name == "passthrough"
