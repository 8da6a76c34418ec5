"""Limits that every listener and upstream of the mesh shares, and why they are what they are."""

from datetime import timedelta
from typing import Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import UpstreamConnectionOptions
from envoy.config.core.v3.address_pb2 import TcpKeepalive
from envoy.config.core.v3.socket_option_pb2 import SocketOption

BUFFER_BYTES: Final = 32_768
"""Of each connection and direction: small, because a proxy holds thousands of connections."""

CONNECT: Final = timedelta(seconds=5)
HANDSHAKE: Final = timedelta(seconds=10)
NO_LIMIT: Final = timedelta(0)

ON_DEMAND: Final = timedelta(seconds=2)
"""How long a first request waits for its cluster before it is answered with 503."""

STREAM_WITHOUT_ROUTE: Final = timedelta(seconds=15)
"""How long a request may be silent before a route is found for it: longer only if the agent is away."""

STREAM_IDLE: Final = timedelta(hours=1)
"""How long a routed request, stream or WebSocket may be silent. Real limits are the route's timeouts."""

CONNECTION_AGE: Final = timedelta(hours=1)
"""Pooled connections keep the certificates they were made with, so none is kept longer."""

POOLED_IDLE: Final = timedelta(seconds=60)

_CONCURRENT: Final = 65_536
_KEEPALIVE_TIME, _KEEPALIVE_INTERVAL, _KEEPALIVE_PROBES = 30, 10, 3
"""A peer that vanished without a word is noticed within a minute."""

# Linux's numbers (socket(7), tcp(7)); listening sockets hand them on to what they accept.
_SOL_SOCKET, _SO_KEEPALIVE = 1, 9
_IPPROTO_TCP, _TCP_KEEPIDLE, _TCP_KEEPINTVL, _TCP_KEEPCNT = 6, 4, 5, 6


def circuit_breakers() -> CircuitBreakers:
    """High enough that only a runaway meets them; policies set lower ones."""
    threshold = CircuitBreakers.Thresholds()
    for field in (threshold.max_connections, threshold.max_pending_requests, threshold.max_requests):
        field.value = _CONCURRENT
    return CircuitBreakers(thresholds=[threshold])


def upstream_keepalive() -> UpstreamConnectionOptions:
    return UpstreamConnectionOptions(
        tcp_keepalive=TcpKeepalive(
            keepalive_time={"value": _KEEPALIVE_TIME},
            keepalive_interval={"value": _KEEPALIVE_INTERVAL},
            keepalive_probes={"value": _KEEPALIVE_PROBES},
        )
    )


def downstream_keepalive() -> list[SocketOption]:
    """The same for accepted connections; Envoy has no field of its own for them."""
    wanted = (
        (_SOL_SOCKET, _SO_KEEPALIVE, 1),
        (_IPPROTO_TCP, _TCP_KEEPIDLE, _KEEPALIVE_TIME),
        (_IPPROTO_TCP, _TCP_KEEPINTVL, _KEEPALIVE_INTERVAL),
        (_IPPROTO_TCP, _TCP_KEEPCNT, _KEEPALIVE_PROBES),
    )
    return [
        SocketOption(level=level, name=name, int_value=value, state=SocketOption.STATE_LISTENING)
        for level, name, value in wanted
    ]
