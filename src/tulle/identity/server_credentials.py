"""Gives the control plane's gRPC listeners their TLS settings."""

import grpc

from tulle.identity.ca import ServerCertificate


def enrolment_credentials(certificate: ServerCertificate) -> grpc.ServerCredentials:
    """TLS that takes callers without a certificate."""
    return grpc.ssl_server_credentials([_pair(certificate)])


def mutual_credentials(certificate: ServerCertificate) -> grpc.ServerCredentials:
    """TLS that takes nobody without a certificate of this mesh."""
    return grpc.ssl_server_credentials(
        [_pair(certificate)], root_certificates=certificate.bundle_pem.encode(), require_client_auth=True
    )


def _pair(certificate: ServerCertificate) -> tuple[bytes, bytes]:
    return certificate.key.reveal(), certificate.chain_pem.encode()
