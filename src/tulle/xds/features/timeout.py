"""How long a request may take.

Source: Gateway API, HTTPRouteTimeouts: `request` limits the whole, `backendRequest` one try.
"""

from datetime import timedelta

from envoy.config.route.v3.route_components_pb2 import RetryPolicy, RouteAction

from tulle.xds import limits


def set_timeouts(action: RouteAction, whole: timedelta | None, one_try: timedelta | None) -> None:
    """None is no limit; Envoy's own default of 15 s is nobody's wish."""
    action.timeout = whole or limits.NO_LIMIT
    action.idle_timeout = limits.STREAM_IDLE
    if one_try:
        # Without a condition to retry on, the policy limits the one try there is.
        action.retry_policy.CopyFrom(RetryPolicy(per_try_timeout=one_try))
