"""Reads the HTTP that a workload sends: one canonical request, no control by headers, nothing that nobody asked for."""

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    Rds,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2 import HeaderMutation
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

from tulle.xds import limits
from tulle.xds.features import on_demand
from tulle.xds.filter_order import http_filters
from tulle.xds.packing import extension
from tulle.xds.sources import ads


def outbound(route_config: str) -> HttpConnectionManager:
    """HTTP/1.0, HTTP/1.1 and HTTP/2 without TLS, whichever the application speaks, and WebSocket."""
    manager = HttpConnectionManager(
        codec_type=HttpConnectionManager.AUTO,
        stat_prefix="outbound",
        rds=Rds(route_config_name=route_config, config_source=ads()),
        http_filters=http_filters(on_demand.http_clusters(), _router()),
        http_protocol_options=Http1ProtocolOptions(accept_http_10=True),
        upgrade_configs=[HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManager.REJECT_REQUEST,
        early_header_mutation_extensions=[extension("strip-control-headers", _strip_control_headers())],
        # The application's own X-Forwarded-For, X-Forwarded-Proto and X-Request-Id are its business.
        use_remote_address=BoolValue(value=False),
        skip_xff_append=True,
        generate_request_id=BoolValue(value=False),
        preserve_external_request_id=True,
        server_header_transformation=HttpConnectionManager.PASS_THROUGH,
        stream_idle_timeout=limits.STREAM_WITHOUT_ROUTE,
    )
    # Present and empty: no address makes a request one of Envoy's "internal" ones, whose headers it obeys.
    manager.internal_address_config.SetInParent()
    return manager


def _router() -> Router:
    """Without counters and histograms per upstream and status: Envoy joins their names anew for every request, and
    nobody reads them."""
    return Router(suppress_envoy_headers=True, dynamic_stats=BoolValue(value=False))


def _strip_control_headers() -> HeaderMutation:
    """`x-envoy-*` would let an application change timeouts, retries and more of what policies say. XFCC is dropped by
    Envoy's default, as this is not a TLS connection."""
    matcher = StringMatcher(prefix="x-envoy-", ignore_case=True)
    return HeaderMutation(mutations=[Mutation(remove_on_match=Mutation.RemoveOnMatch(key_matcher=matcher))])
