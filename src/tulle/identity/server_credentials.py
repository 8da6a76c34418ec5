"""Keeps the control plane's own certificate fresh and gives its gRPC listeners their TLS settings.

gRPC asks for the certificate at every handshake, so a renewal needs neither a new listener nor a timer.
"""

import threading
from collections.abc import Callable
from datetime import datetime

import grpc

from tulle.identity.ca import Authority, ServerCertificate, server_certificate
from tulle.identity.rotation import should_rotate


class ServerCredentials:
    """The same certificate for all listeners of one control plane."""

    def __init__(self, authority: Authority, clock: Callable[[], datetime]) -> None:
        self._authority = authority
        self._clock = clock
        self._lock = threading.Lock()  # gRPC asks from threads of its own
        self._current = server_certificate(authority, clock())

    def current(self) -> ServerCertificate:
        """The certificate to present now."""
        with self._lock:
            now = self._clock()
            if should_rotate(self._current.not_before, self._current.not_after, now, jitter=0):
                self._current = server_certificate(self._authority, now)
            return self._current

    def enrolment(self) -> grpc.ServerCredentials:
        """TLS that takes callers without a certificate."""
        return self._credentials(mutual=False)

    def mutual(self) -> grpc.ServerCredentials:
        """TLS that takes nobody without a certificate of this mesh."""
        return self._credentials(mutual=True)

    def _credentials(self, mutual: bool) -> grpc.ServerCredentials:
        def configuration() -> grpc.ServerCertificateConfiguration:
            current = self.current()
            return grpc.ssl_server_certificate_configuration(
                [(current.key.reveal(), current.chain_pem.encode())],
                root_certificates=current.bundle_pem.encode() if mutual else None,
            )

        return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=mutual)
