"""A workload's two listeners: one inside its namespace for what it sends, one at its mesh address.

Envoy changes filter chains in place, and only the changed ones drain. A change of any other field of a listener
closes all its connections, so none of those depends on anything that changes while the workload lives.
"""

from ipaddress import ip_network
from typing import Final

from envoy.config.core.v3.address_pb2 import Address, CidrRange, SocketAddress
from envoy.config.core.v3.base_pb2 import INBOUND, OUTBOUND
from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import AdditionalAddress, Listener
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from tulle.model import vips
from tulle.model.keys import LocalClusterKey
from tulle.model.names import WorkloadPort
from tulle.view.types import CapturedPort, InboundListenerView, OutboundListenerView, PortProtocol
from tulle.xds import http_connection, limits, tcp_connection, type_urls
from tulle.xds.features import identity, mtls, on_demand
from tulle.xds.filter_order import network_filters
from tulle.xds.names import name_of
from tulle.xds.packing import packed
from tulle.xds.resource import Resource, resource

CAPTURE_PORT: Final = 15001

_HTTP_RANGE: Final = (str(vips.HTTP_V4), str(vips.HTTP_V6))
_TCP_RANGE: Final = (str(vips.TCP_V4), str(vips.TCP_V6))
# Passed through, these would be the host itself, what is on its link only (a cloud's metadata, with the host's
# credentials), or groups: never where an application meant to go. `capture.gateway` has the same, for who has no root.
_NOWHERE: Final = (
    "127.0.0.0/8",
    "::1/128",
    "0.0.0.0/8",
    "::/128",
    "169.254.0.0/16",
    "fe80::/10",
    "224.0.0.0/4",
    "ff00::/8",
)


def outbound(view: OutboundListenerView) -> Resource:
    _, name = name_of(view.key)
    listener = Listener(
        name=name,
        stat_prefix=name,
        address=_inside("127.0.0.1", view.network),
        additional_addresses=[AdditionalAddress(address=_inside("::1", view.network))],
        traffic_direction=OUTBOUND,
        enable_reuse_port=BoolValue(value=False),
        per_connection_buffer_limit_bytes=UInt32Value(value=limits.BUFFER_BYTES),
        listener_filters=[
            ListenerFilter(name="envoy.filters.listener.original_dst", typed_config=packed(OriginalDst()))
        ],
        filter_chains=_captured_chains(view),
        default_filter_chain=_passthrough_chain(view),
    )
    return _resource(listener)


def inbound(view: InboundListenerView) -> Resource:
    """A chain for each port of the application; who asks for anything else finds no chain and is cut off."""
    _, name = name_of(view.key)
    listener = Listener(
        name=name,
        stat_prefix=name,
        address=_address(view.address, view.port),
        traffic_direction=INBOUND,
        enable_reuse_port=BoolValue(value=False),
        per_connection_buffer_limit_bytes=UInt32Value(value=limits.BUFFER_BYTES),
        listener_filters=[
            ListenerFilter(name="envoy.filters.listener.tls_inspector", typed_config=packed(TlsInspector()))
        ],
        listener_filters_timeout=limits.HANDSHAKE,
        socket_options=limits.downstream_keepalive(),
        filter_chains=[_application_chain(view, port) for port in view.ports] or [_no_chain()],
    )
    return _resource(listener)


def _captured_chains(view: OutboundListenerView) -> list[FilterChain]:
    """The two ranges, and the exceptions. Envoy looks at the port first and never looks back: where an exception
    names a port, connections to that port see only the chains that name it, so the ranges are said again for it."""
    ports = sorted({exception.port for exception in view.exceptions})
    chains = [chain for port in (None, *ports) for chain in _range_chains(view, port)]
    chains.extend(_exception_chain(view, exception) for exception in view.exceptions)
    return chains


def _range_chains(view: OutboundListenerView, port: int | None) -> list[FilterChain]:
    return [
        _captured_chain(view, "http", _HTTP_RANGE, port),
        _captured_chain(view, "tcp", _TCP_RANGE, port),
        # To loopback addresses comes only who connects to the capture port itself.
        FilterChain(name=_chain_name("nowhere", _NOWHERE, port), filter_chain_match=_match(_NOWHERE, port)),
    ]


def _exception_chain(view: OutboundListenerView, exception: CapturedPort) -> FilterChain:
    return _captured_chain(view, exception.protocol, exception.addresses, exception.port)


def _captured_chain(
    view: OutboundListenerView, protocol: PortProtocol, ranges: tuple[str, ...], port: int | None = None
) -> FilterChain:
    caller = identity.caller(view.identity)
    if protocol == "tcp":
        filters = network_filters([caller, on_demand.tcp_cluster(view.client_namespace)], tcp_connection.captured())
    else:
        filters = network_filters([caller], http_connection.outbound(view.client_namespace))
    name = _chain_name("tcp" if protocol == "tcp" else "http", ranges, port)
    return FilterChain(name=name, filter_chain_match=_match(ranges, port), filters=filters)


def _match(ranges: tuple[str, ...], port: int | None) -> FilterChainMatch:
    networks = [ip_network(text) for text in ranges]
    cidrs = [
        CidrRange(address_prefix=str(n.network_address), prefix_len=UInt32Value(value=n.prefixlen)) for n in networks
    ]
    return FilterChainMatch(prefix_ranges=cidrs, destination_port=None if port is None else UInt32Value(value=port))


def _chain_name(kind: str, ranges: tuple[str, ...], port: int | None) -> str:
    return f"{kind} {ranges[0]}" if port is None else f"{kind} {ranges[0]}:{port}"


def _passthrough_chain(view: OutboundListenerView) -> FilterChain | None:
    if view.passthrough is None:
        return None
    _, cluster = name_of(view.passthrough)
    return FilterChain(name="passthrough", filters=network_filters([], tcp_connection.passthrough(cluster)))


def _application_chain(view: InboundListenerView, port: WorkloadPort) -> FilterChain:
    _, cluster = name_of(LocalClusterKey(port))
    return FilterChain(
        name=port.sni,
        filter_chain_match=FilterChainMatch(server_names=[port.sni]),
        transport_socket=mtls.server(view.identity),
        transport_socket_connect_timeout=limits.HANDSHAKE,
        filters=network_filters([], tcp_connection.inbound(cluster)),
    )


def _no_chain() -> FilterChain:
    """For a workload without ports, as Envoy refuses a listener without chains: closes who asks for a name that nobody
    has."""
    return FilterChain(name="none", filter_chain_match=FilterChainMatch(server_names=["none.invalid"]))


def _inside(address: str, network: str) -> Address:
    return Address(
        socket_address=SocketAddress(address=address, port_value=CAPTURE_PORT, network_namespace_filepath=network)
    )


def _address(address: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=address, port_value=port))


def _resource(listener: Listener) -> Resource:
    return resource(type_urls.LISTENER, listener.name, listener.SerializeToString(deterministic=True))
