"""Envoys that Tulle has no hand in: the upstream that everything calls, and pairs with mutual TLS between.

The client of a pair parses HTTP. So does one kind of server, as in the sidecars of other meshes; the other passes bytes
on, which is what Tulle is built of. All else is as Envoy does it by default.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from tulle.identity.ca import new_authority, pem, sign
from tulle.identity.keypair import key_pem, new_key, signing_request
from tulle.model.names import SpiffeId

Json: TypeAlias = "Mapping[str, Json] | Iterable[Json] | str | int | bool"

BODY = "x" * 100
_TYPE = "type.googleapis.com/envoy.extensions"
_DOMAIN = "bench.local"


class Pair(Struct, frozen=True):
    """`entry` is where the client proxy takes plain HTTP, `mesh` where the server proxy takes mutual TLS, `upstream`
    where the application is: ports of the loopback address."""

    entry: int
    mesh: int
    upstream: int


def upstream(port: int) -> str:
    """An application that answers every request with 100 bytes, as fast as Envoy does anything."""
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": BODY}}}],
    }
    return _bootstrap(_listener("application", port, _http(host)), [])


def client(pair: Pair, files: Path) -> str:
    tls = {"sni": "server.bench.local", "common_tls_context": _tls_context(files, "client", _identity("server"))}
    cluster = {
        **_cluster("server", pair.mesh),
        "transport_socket": _tls(f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext", tls),
    }
    return _bootstrap(_listener("outbound", pair.entry, _http(_forward("server"))), [cluster])


def http_server(pair: Pair, files: Path) -> str:
    return _server(pair, files, _http(_forward("application")))


def tcp_server(pair: Pair, files: Path) -> str:
    proxy = {
        "@type": f"{_TYPE}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "bench",
        "cluster": "application",
    }
    return _server(pair, files, {"name": "tcp", "typed_config": proxy})


def _server(pair: Pair, files: Path, filter_: Json) -> str:
    tls = {
        "require_client_certificate": True,
        "common_tls_context": _tls_context(files, "server", _identity("client")),
    }
    socket = _tls(f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext", tls)
    listener = _listener("inbound", pair.mesh, filter_, socket)
    return _bootstrap(listener, [_cluster("application", pair.upstream)])


def write_certificates(files: Path) -> None:
    """One authority and a certificate for each side, with P-256 keys as Tulle's have."""
    authority = new_authority(_DOMAIN, datetime.now(UTC))
    (files / "ca.pem").write_text(authority.bundle_pem)
    for side in ("client", "server"):
        key = new_key()
        identity = SpiffeId(_DOMAIN, "bench", side)
        leaf = sign(signing_request(key), identity, datetime.now(UTC), timedelta(hours=2), authority)
        (files / f"{side}.pem").write_text(pem(leaf))
        (files / f"{side}.key").write_bytes(key_pem(key).reveal())


def _identity(side: str) -> str:
    return str(SpiffeId(_DOMAIN, "bench", side))


def _bootstrap(listener: Json, clusters: Iterable[Json]) -> str:
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": list(clusters)}})


def _listener(name: str, port: int, filter_: Json, transport_socket: "Json | None" = None) -> Json:
    chain: dict[str, Json] = {"filters": [filter_]}
    if transport_socket is not None:
        chain["transport_socket"] = transport_socket
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _http(virtual_host: Json) -> Json:
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"name": "bench", "virtual_hosts": [virtual_host]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}],
    }
    return {"name": "http", "typed_config": manager}


def _forward(cluster: str) -> Json:
    return {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}


def _cluster(name: str, port: int) -> dict[str, Json]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(type_url: str, context: Mapping[str, Json]) -> Json:
    return {"name": "tls", "typed_config": {"@type": type_url, **context}}


def _tls_context(files: Path, side: str, peer: str) -> Json:
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(files / f"{side}.pem")},
                "private_key": {"filename": str(files / f"{side}.key")},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(files / "ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
        },
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
