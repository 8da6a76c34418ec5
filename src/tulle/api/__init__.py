"""The HTTP API: what people, the CLI and the dashboard see of a control plane. `tulle.api.app` puts it together.

Only its words are exported here: commands import them, and must not wait for a web framework.
"""

from tulle.api.backend import (
    AuthorityState,
    Backend,
    CertificateProblem,
    NodeState,
    ProxyState,
    RemovedNode,
    Status,
    StatusWatch,
    TypeSync,
    XdsResource,
)

__all__ = [
    "AuthorityState",
    "Backend",
    "CertificateProblem",
    "NodeState",
    "ProxyState",
    "RemovedNode",
    "Status",
    "StatusWatch",
    "TypeSync",
    "XdsResource",
]
