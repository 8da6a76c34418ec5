"""Gives each proxy the certificates of the workloads it serves, and no others.

Secrets never come from the control plane and never go to the disk cache; they are made on this node.
"""

from collections.abc import Callable
from typing import Protocol

from tulle.identity.sds import certificate_secret, trust_bundle_secret
from tulle.identity.svids import Svids
from tulle.model.names import ProxyId, SpiffeId
from tulle.stream.protocol import ABSENT, PENDING, Absent, Pending
from tulle.xds.names import TRUST_BUNDLE
from tulle.xds.resource import Resource


class Secrets(Protocol):
    """Answers from memory. Whoever changes an answer calls `Relay.secrets_changed`."""

    def get(self, proxy: ProxyId, name: str) -> Resource | Absent | Pending: ...


class SvidSecrets:
    """Secrets made of `svids`. `identities_of` says whose certificates a proxy may have."""

    def __init__(
        self, svids: Svids, trust_domain: str, identities_of: Callable[[ProxyId], frozenset[SpiffeId]]
    ) -> None:
        self._svids = svids
        self._trust_domain = trust_domain
        self._identities_of = identities_of

    def get(self, proxy: ProxyId, name: str) -> Resource | Absent | Pending:
        """A secret that the proxy may not have does not exist for it."""
        if name == TRUST_BUNDLE:
            return trust_bundle_secret(self._trust_domain, self._svids.bundle_pem)
        for identity in self._identities_of(proxy):
            if str(identity) == name:
                svid = self._svids.get(identity)
                return PENDING if svid is None else certificate_secret(svid)
        return ABSENT
