"""What a proxy starts with: who it is, where its agent listens, and limits. Everything else comes over the stream."""

from datetime import timedelta
from typing import Final

from envoy.config.bootstrap.v3.bootstrap_pb2 import Admin, Bootstrap, ClusterManager, LayeredRuntime, RuntimeLayer
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, Pipe
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, KeepaliveSettings
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.metrics.v3.stats_pb2 import StatsConfig, StatsMatcher
from envoy.config.overload.v3.overload_pb2 import OverloadAction, OverloadManager, ResourceMonitor, Trigger
from envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2 import (
    DownstreamConnectionsConfig,
)
from envoy.extensions.resource_monitors.fixed_heap.v3.fixed_heap_pb2 import FixedHeapConfig
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher
from google.protobuf.json_format import MessageToJson
from google.protobuf.wrappers_pb2 import BoolValue
from msgspec import Struct

from tulle.model.names import ProxyId
from tulle.xds.packing import packed
from tulle.xds.sources import ads

_AGENT: Final = "agent"
_HEAP: Final = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS: Final = "envoy.resource_monitors.global_downstream_max_connections"

_METRICS: Final = (
    "cluster_manager.",
    "control_plane.",
    "listener_manager.",
    "overload.",
    "server.",
    "tcp.",
)
"""Prefixes of the metrics of the proxy as a whole that are kept."""

_CLUSTER_METRICS: Final = "|".join(
    (
        "upstream_cx_(active|connect_fail|connect_timeout|destroy_remote_with_active_rq|none_healthy|total)",
        "upstream_cx_(rx|tx)_bytes_total",
        "upstream_rq_(active|pending_overflow|retry|rx_reset|timeout|total|tx_reset)",
        "membership_(healthy|total)",
        r"ssl\.(connection_error|fail_verify_error|fail_verify_no_cert|fail_verify_san|handshake)",
    )
)
"""Of each upstream, a fifth of what Envoy counts: all others cost memory for every service that is called."""

_HTTP_METRICS: Final = "|".join(
    (
        "downstream_cx_(active|protocol_error|total)",
        "downstream_rq_(active|idle_timeout|rx_reset|timeout|too_large|total|tx_reset|[1-5]xx)",
    )
)
"""Of what applications send, without histograms: each is written to for every request, and nobody reads them."""

_LISTENER_METRICS: Final = "|".join(
    (
        "downstream_cx_(active|overflow|total)",
        "no_filter_chain_match",
        r"ssl\.(connection_error|fail_verify_error|fail_verify_no_cert|fail_verify_san|handshake)",
    )
)


class ProxySettings(Struct, frozen=True):
    """`xds_socket` is the agent's, `admin_socket` the proxy's own; `heap_bytes` is where it starts to refuse work,
    `connections` how many it accepts."""

    proxy: ProxyId
    xds_socket: str
    admin_socket: str
    heap_bytes: int = 1 << 30
    connections: int = 50_000


def bootstrap(settings: ProxySettings) -> bytes:
    """The bootstrap as JSON, which Envoy reads from a file named `*.json`."""
    config = Bootstrap(
        admin=Admin(address=Address(pipe=Pipe(path=settings.admin_socket, mode=0o600))),
        cluster_manager=ClusterManager(enable_deferred_cluster_creation=True),
        deferred_stat_options=Bootstrap.DeferredStatOptions(enable_deferred_creation_stats=True),
        stats_config=_stats_config(),
        stats_eviction_interval=timedelta(minutes=5),
        overload_manager=_overload_manager(settings),
        layered_runtime=_runtime(),
        memory_allocator_manager={"bytes_to_release": 10 << 20, "memory_release_interval": timedelta(seconds=5)},
    )
    config.node.id = str(settings.proxy)
    config.node.cluster = "tulle"
    config.static_resources.clusters.append(_agent(settings.xds_socket))
    config.dynamic_resources.ads_config.CopyFrom(_stream())
    config.dynamic_resources.lds_config.CopyFrom(ads())
    config.dynamic_resources.cds_config.CopyFrom(ads())
    return MessageToJson(config, preserving_proto_field_name=True).encode()


def _stream() -> ApiConfigSource:
    envoy_grpc = GrpcService.EnvoyGrpc(cluster_name=_AGENT)
    # Soon again after an agent's restart, and for ever.
    envoy_grpc.retry_policy.retry_back_off.base_interval.FromMilliseconds(200)
    envoy_grpc.retry_policy.retry_back_off.max_interval.FromSeconds(2)
    return ApiConfigSource(
        api_type=ApiConfigSource.DELTA_GRPC,
        transport_api_version=ApiVersion.V3,
        set_node_on_first_message_only=True,
        grpc_services=[GrpcService(envoy_grpc=envoy_grpc)],
    )


def _agent(socket: str) -> Cluster:
    ping = KeepaliveSettings(interval=timedelta(seconds=30), timeout=timedelta(seconds=10))
    options = HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.CopyFrom(Http2ProtocolOptions(connection_keepalive=ping))
    endpoint = Endpoint(address=Address(pipe=Pipe(path=socket)))
    cluster = Cluster(
        name=_AGENT,
        type=Cluster.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=ClusterLoadAssignment(
            cluster_name=_AGENT, endpoints=[LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=endpoint)])]
        ),
    )
    cluster.typed_extension_protocol_options[f"envoy.extensions.upstreams.http.v3.{options.DESCRIPTOR.name}"].CopyFrom(
        packed(options)
    )
    return cluster


def _stats_config() -> StatsConfig:
    patterns = [StringMatcher(prefix=prefix) for prefix in _METRICS]
    for regex in (
        rf"cluster\..+\.({_CLUSTER_METRICS})",
        rf"http\.outbound\.({_HTTP_METRICS})",
        rf"listener\..+\.({_LISTENER_METRICS})",
    ):
        patterns.append(StringMatcher(safe_regex=RegexMatcher(regex=regex)))
    matcher = StatsMatcher(inclusion_list=ListStringMatcher(patterns=patterns))
    return StatsConfig(stats_matcher=matcher, use_all_default_tags=BoolValue(value=False))


def _overload_manager(settings: ProxySettings) -> OverloadManager:
    """First gives memory back, then takes no new requests, then no new connections: what runs may finish."""
    return OverloadManager(
        refresh_interval=timedelta(milliseconds=250),
        resource_monitors=[
            ResourceMonitor(name=_HEAP, typed_config=packed(FixedHeapConfig(max_heap_size_bytes=settings.heap_bytes))),
            ResourceMonitor(
                name=_CONNECTIONS,
                typed_config=packed(
                    DownstreamConnectionsConfig(max_active_downstream_connections=settings.connections)
                ),
            ),
        ],
        actions=[
            _action("envoy.overload_actions.shrink_heap", 0.80),
            _action("envoy.overload_actions.disable_http_keepalive", 0.90),
            _action("envoy.overload_actions.stop_accepting_requests", 0.95),
            _action("envoy.overload_actions.stop_accepting_connections", 0.98),
        ],
    )


def _action(name: str, share_of_heap: float) -> OverloadAction:
    trigger = Trigger(name=_HEAP)
    trigger.threshold.value = share_of_heap
    return OverloadAction(name=name, triggers=[trigger])


def _runtime() -> LayeredRuntime:
    """Regular expressions are limited in length where resources are read; Envoy's own limit is too low for paths."""
    layer = RuntimeLayer(name="tulle")
    layer.static_layer.update({"re2.max_program_size.error_level": 5000})
    return LayeredRuntime(layers=[layer])
