"""Remembers which certificate each node was last given for each identity, and what it was refused.

An agent says in its log when a certificate is not renewed; this is how the control plane knows, too, even where that
agent cannot reach it. It is in memory only: a control plane that has just started knows nothing of what is older.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from tulle.identity.spiffe_id import Identity


class Issued(Struct, frozen=True):
    """A certificate that `node` was given."""

    node: str
    identity: Identity
    not_before: datetime
    not_after: datetime


class Ledger:
    """Used from one event loop."""

    def __init__(self) -> None:
        self._issued: dict[str, dict[Identity, Issued]] = {}
        self._refused: dict[str, dict[Identity, str]] = {}

    def issued(self, certificate: Issued) -> None:
        """What the node had before of this identity is past, and so is what has ended since it had."""
        kept = self._issued.get(certificate.node, {})
        now = certificate.not_before
        lasting = {identity: known for identity, known in kept.items() if known.not_after > now}
        self._issued[certificate.node] = {**lasting, certificate.identity: certificate}
        self._refused.get(certificate.node, {}).pop(certificate.identity, None)

    def refused(self, node: str, identity: Identity, reason: str) -> None:
        self._refused.setdefault(node, {})[identity] = reason

    def of(self, node: str) -> Mapping[Identity, Issued]:
        """The last of each identity."""
        return self._issued.get(node, {})

    def refusals(self, node: str) -> Mapping[Identity, str]:
        """Why, by identity; what was given since is not among them."""
        return self._refused.get(node, {})

    def forget(self, node: str) -> None:
        self._issued.pop(node, None)
        self._refused.pop(node, None)
