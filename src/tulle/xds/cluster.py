"""Upstreams: services in the mesh, the application behind the proxy, and where traffic leaves the mesh."""

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, BindConfig, ExtraSourceAddress, Pipe, SocketAddress
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions, KeepaliveSettings
from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions as CommonHttpOptions
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from google.protobuf.wrappers_pb2 import UInt32Value

from tulle.view.types import (
    ClusterView,
    IdentitiesClusterView,
    LocalClusterView,
    PassthroughClusterView,
    PortProtocol,
)
from tulle.xds import limits, type_urls
from tulle.xds.features import mtls
from tulle.xds.names import name_of
from tulle.xds.packing import packed, transport_socket
from tulle.xds.resource import Resource, resource
from tulle.xds.sources import ads

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PING = KeepaliveSettings(interval={"seconds": 30}, timeout={"seconds": 10})


def service(view: ClusterView) -> Resource:
    """A port of a service. The same bytes serve every client: who calls is decided at each connection."""
    _, endpoints = name_of(view.endpoints)
    cluster = _cluster(name_of(view.key)[1])
    cluster.type = Cluster.EDS
    cluster.eds_cluster_config.eds_config.CopyFrom(ads())
    if endpoints != cluster.name:
        cluster.eds_cluster_config.service_name = endpoints
    cluster.lb_policy = Cluster.LEAST_REQUEST
    # A group's share is its weight, whoever in it is ready; and nobody who is not ready gets any.
    cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
    cluster.upstream_connection_options.CopyFrom(limits.upstream_keepalive())
    cluster.transport_socket.CopyFrom(mtls.client(view.identities))
    if view.protocol != "tcp":
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(packed(_http_options(view.protocol)))
    return _resource(cluster)


def local(view: LocalClusterView) -> Resource:
    """The application, dialled from inside its namespace: on 127.0.0.1, or on ::1 where it listens only there."""
    port = view.key.port.port
    cluster = _cluster(name_of(view.key)[1])
    endpoint = Endpoint(
        address=_inside("127.0.0.1", port, ""),
        additional_addresses=[Endpoint.AdditionalAddress(address=_inside("::1", port, ""))],
    )
    cluster.load_assignment.CopyFrom(_static(cluster.name, endpoint))
    cluster.upstream_bind_config.CopyFrom(
        BindConfig(
            source_address=_inside("127.0.0.1", 0, view.network).socket_address,
            extra_source_addresses=[ExtraSourceAddress(address=_inside("::1", 0, view.network).socket_address)],
        )
    )
    return _resource(cluster)


def passthrough(view: PassthroughClusterView) -> Resource:
    """Where the application wanted to go; by way of the agent's gateway where the proxy has no network itself."""
    cluster = _cluster(name_of(view.key)[1])
    cluster.upstream_connection_options.CopyFrom(limits.upstream_keepalive())
    gateway = view.key.host_gateway
    if not gateway:
        cluster.type = Cluster.ORIGINAL_DST
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
        return _resource(cluster)
    cluster.load_assignment.CopyFrom(_static(cluster.name, Endpoint(address=Address(pipe=Pipe(path=gateway)))))
    header = ProxyProtocolUpstreamTransport(
        config=ProxyProtocolConfig(version=ProxyProtocolConfig.V2),
        transport_socket=transport_socket("envoy.transport_sockets.raw_buffer", RawBuffer()),
    )
    cluster.transport_socket.CopyFrom(transport_socket("envoy.transport_sockets.upstream_proxy_protocol", header))
    return _resource(cluster)


def identities(view: IdentitiesClusterView) -> Resource:
    """Makes a proxy's certificates ready before the first connection needs them, and while the agent is away."""
    cluster = _cluster(name_of(view.key)[1])
    cluster.load_assignment.cluster_name = cluster.name
    cluster.transport_socket.CopyFrom(mtls.prefetch(view.identities))
    return _resource(cluster)


def _cluster(name: str) -> Cluster:
    """What all upstreams share."""
    return Cluster(
        name=name,
        type=Cluster.STATIC,
        connect_timeout=limits.CONNECT,
        per_connection_buffer_limit_bytes=UInt32Value(value=limits.BUFFER_BYTES),
        circuit_breakers=limits.circuit_breakers(),
    )


def _http_options(protocol: PortProtocol) -> HttpProtocolOptions:
    options = HttpProtocolOptions(
        common_http_protocol_options=CommonHttpOptions(
            idle_timeout=limits.POOLED_IDLE, max_connection_duration=limits.CONNECTION_AGE
        )
    )
    if protocol == "http2":
        http2 = Http2ProtocolOptions(connection_keepalive=_PING)
        options.explicit_http_config.http2_protocol_options.CopyFrom(http2)
    else:
        options.explicit_http_config.http_protocol_options.CopyFrom(Http1ProtocolOptions())
    return options


def _static(cluster: str, endpoint: Endpoint) -> ClusterLoadAssignment:
    return ClusterLoadAssignment(
        cluster_name=cluster, endpoints=[LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=endpoint)])]
    )


def _inside(address: str, port: int, network: str) -> Address:
    return Address(socket_address=SocketAddress(address=address, port_value=port, network_namespace_filepath=network))


def _resource(cluster: Cluster) -> Resource:
    return resource(type_urls.CLUSTER, cluster.name, cluster.SerializeToString(deterministic=True))
