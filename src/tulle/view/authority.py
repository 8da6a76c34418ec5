"""Finds the service that a name or address means to a client: the one rule behind DNS answers and routing."""

from ipaddress import ip_address

from tulle.model.names import ServiceName
from tulle.model.snapshot import PortEntry, ServiceEntry
from tulle.view.reader import Reader

DEFAULT_PORT = 80


def service_named(reader: Reader, client_namespace: str, host: str) -> ServiceEntry | None:
    """`name`, `name.namespace`, `name.namespace.svc` and `name.namespace.svc.<domain of the mesh>`, or a virtual
    address. `host` is lower case; one trailing dot is allowed. Source: Kubernetes' DNS specification."""
    try:
        address = ip_address(bare(host))
    except ValueError:
        pass
    else:
        return reader.service_at(str(address))
    match host.removesuffix(".").split("."):
        case [name] if name:
            return reader.service(ServiceName(client_namespace, name))
        case [name, namespace, *domain] if _is_service_domain(reader, ".".join(domain)):
            return reader.service(ServiceName(namespace, name))
    return None


def bare(host: str) -> str:
    """An address without the brackets that it has in an authority."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_service_domain(reader: Reader, domain: str) -> bool:
    return domain in ("", "svc") or domain in {f"svc.{d}" for d in reader.mesh().dns.domains}


def split_authority(authority: str) -> tuple[str, int | None]:
    """Host and port of an authority; `[::1]:80` keeps its brackets in the host. A port that is no number gives 0,
    which no service has."""
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        return authority, None
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def port_addressed(reader: Reader, client_namespace: str, authority: str) -> tuple[ServiceEntry, PortEntry] | None:
    """The HTTP port of a service that a request's authority means. Without a port it is 80, else the only HTTP port
    (clients of other ports must name them, but many gRPC clients set a bare authority)."""
    host, number = split_authority(authority.lower())
    service = service_named(reader, client_namespace, host)
    if service is None:
        return None
    http = [p for p in service.ports if p.protocol != "tcp"]
    wanted = [p for p in http if p.port == (DEFAULT_PORT if number is None else number)]
    if not wanted and number is None and len(http) == 1:
        wanted = http
    return (service, wanted[0]) if wanted else None
