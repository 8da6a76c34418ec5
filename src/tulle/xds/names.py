"""Spells every key as an xDS type and resource name, and reads such names back.

Proxies ask for resources by name, so what arrives here may be anything: a name is read only if it is exactly what
some key is spelled as. Then no two keys share a name, and no name has two readings.
"""

import re
from ipaddress import ip_address
from typing import Final, assert_never

from tulle.model.keys import (
    ClusterKey,
    EndpointsKey,
    IdentitiesClusterKey,
    Key,
    ListenerKey,
    LocalClusterKey,
    NameKey,
    NodeKey,
    PassthroughClusterKey,
    RouteConfigKey,
    TcpClusterKey,
    TcpEndpointsKey,
    VirtualHostKey,
)
from tulle.model.names import ProxyId, ServiceName, ServicePort, WorkloadName, WorkloadPort
from tulle.xds import type_urls

TRUST_BUNDLE: Final = "trust-bundle"
"""The secret with the roots that peers are checked against. Every other secret is named by its SPIFFE ID."""

NO_IDENTITY: Final = "no-identity"
"""A secret that nobody ever serves: what a connection without an identity asks for, so that it fails."""

PLACEHOLDER_AUTHORITY: Final = "placeholder.invalid"
"""The virtual host that tells Envoy that the first fetch is over. `.invalid` is never a real host (RFC 6761)."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# What Envoy lets through as a Host header, in the lower case in which it asks. A slash would make Envoy look for
# another route configuration.
_AUTHORITY = re.compile(r"[!-.0-@\[-~]{1,512}")
_HOST = re.compile(r"[!-.0-@\[-~]{1,253}")
_SOCKET_PATH = re.compile(r"/[!-~]{1,107}")


def name_of(key: Key) -> tuple[str, str]:
    """The type URL and the resource name of `key`."""
    match key:
        case ListenerKey(workload, direction):
            return type_urls.LISTENER, f"{direction}/{workload.namespace}/{workload.name}"
        case RouteConfigKey(namespace):
            return type_urls.ROUTE_CONFIG, namespace
        case VirtualHostKey(namespace, authority):
            return type_urls.VIRTUAL_HOST, f"{namespace}/{authority}"
        case ClusterKey(port):
            return type_urls.CLUSTER, str(port)
        case TcpClusterKey(namespace, address):
            return type_urls.CLUSTER, f"tcp/{namespace}/{address}"
        case LocalClusterKey(WorkloadPort(workload, port)):
            return type_urls.CLUSTER, f"local/{workload.namespace}/{workload.name}/{port}"
        case PassthroughClusterKey(host_gateway):
            return type_urls.CLUSTER, f"passthrough{host_gateway}"
        case IdentitiesClusterKey(proxy):
            return type_urls.CLUSTER, f"identities/{proxy}"
        case EndpointsKey(port):
            return type_urls.ENDPOINTS, str(port)
        case TcpEndpointsKey(namespace, address):
            return type_urls.ENDPOINTS, f"tcp/{namespace}/{address}"
        case NodeKey(node):
            return type_urls.NODE, node
        case NameKey(namespace, host):
            return type_urls.NAME, f"{namespace}/{host}"
        case _:
            assert_never(key)


def key_of(type_url: str, name: str) -> Key | None:
    """The key that is spelled `name` in this type, or None where no key is."""
    match type_url:
        case type_urls.LISTENER:
            return _listener(name)
        case type_urls.ROUTE_CONFIG:
            return RouteConfigKey(name) if _NAMESPACE.fullmatch(name) else None
        case type_urls.VIRTUAL_HOST:
            namespace, authority = _two(name)
            return VirtualHostKey(namespace, authority) if _is_owned(namespace, _AUTHORITY, authority) else None
        case type_urls.CLUSTER:
            return _cluster(name)
        case type_urls.ENDPOINTS:
            return _endpoints(name)
        case type_urls.NODE:
            return NodeKey(name) if _NAME.fullmatch(name) else None
        case type_urls.NAME:
            namespace, host = _two(name)
            return NameKey(namespace, host) if _is_owned(namespace, _HOST, host) else None
    return None


def tcp_cluster_pattern(client_namespace: str) -> str:
    """What Envoy expands to the name of the cluster for a captured connection's original destination."""
    return f"tcp/{client_namespace}/%DOWNSTREAM_LOCAL_ADDRESS%"


def _listener(name: str) -> ListenerKey | None:
    match name.split("/"):
        case [("inbound" | "outbound") as direction, namespace, workload] if _is_owned(namespace, _NAME, workload):
            return ListenerKey(WorkloadName(namespace, workload), direction)
    return None


def _cluster(name: str) -> Key | None:
    match name.split("/"):
        case ["passthrough"]:
            return PassthroughClusterKey()
        case ["passthrough", *_]:
            path = name.removeprefix("passthrough")
            return PassthroughClusterKey(path) if _SOCKET_PATH.fullmatch(path) else None
        case ["identities", proxy]:
            return IdentitiesClusterKey(proxy) if _is_proxy(proxy) else None
        case ["tcp", namespace, address]:
            return TcpClusterKey(namespace, address) if _is_captured(namespace, address) else None
        case ["local", namespace, workload, text]:
            port = _port(text)
            if port is None or not _is_owned(namespace, _NAME, workload):
                return None
            return LocalClusterKey(WorkloadPort(WorkloadName(namespace, workload), port))
    service = _service_port(name)
    return ClusterKey(service) if service else None


def _endpoints(name: str) -> Key | None:
    match name.split("/"):
        case ["tcp", namespace, address]:
            return TcpEndpointsKey(namespace, address) if _is_captured(namespace, address) else None
    service = _service_port(name)
    return EndpointsKey(service) if service else None


def _two(name: str) -> tuple[str, str]:
    namespace, _, rest = name.partition("/")
    return namespace, rest


def _is_owned(namespace: str, pattern: re.Pattern[str], name: str) -> bool:
    return bool(_NAMESPACE.fullmatch(namespace) and pattern.fullmatch(name))


def _service_port(text: str) -> ServicePort | None:
    host, _, port_text = text.rpartition(":")
    service, _, namespace = host.rpartition(".")
    port = _port(port_text)
    if port is None or not _is_owned(namespace, _NAME, service):
        return None
    return ServicePort(ServiceName(namespace, service), port)


def _is_captured(namespace: str, address: str) -> bool:
    """Whether `address` is an IP address and a port, as Envoy writes them."""
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ip = ip_address(bare)
    except ValueError:
        return False
    written = f"[{ip}]" if ip.version == 6 else str(ip)
    return written == host and _port(port) is not None and _NAMESPACE.fullmatch(namespace) is not None


def _is_proxy(text: str) -> bool:
    proxy = ProxyId.parse(text)
    if proxy is None or not _NAME.fullmatch(proxy.node):
        return False
    return proxy.workload is None or _is_owned(proxy.workload.namespace, _NAME, proxy.workload.name)


def _port(text: str) -> int | None:
    if not _PORT.fullmatch(text):
        return None
    port = int(text)
    return port if port <= 65535 else None
