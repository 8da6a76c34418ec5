"""xDS streams: what is sent to whom, when, and what they made of it.

`server` and `client` speak gRPC; what is exported here knows no network.
"""

from tulle.stream.protocol import (
    ABSENT,
    PENDING,
    WILDCARD,
    Absent,
    Acked,
    Event,
    Limits,
    Nacked,
    Oversized,
    Pending,
    ProtocolError,
    Source,
    Subscribed,
    Unsubscribed,
)
from tulle.stream.session import DeltaSession
from tulle.stream.sotw import SotwSession

__all__ = [
    "ABSENT",
    "Absent",
    "Acked",
    "DeltaSession",
    "Event",
    "Limits",
    "Nacked",
    "Oversized",
    "PENDING",
    "Pending",
    "ProtocolError",
    "SotwSession",
    "Source",
    "Subscribed",
    "Unsubscribed",
    "WILDCARD",
]
