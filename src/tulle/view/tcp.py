"""What is behind a virtual address and port that carries plain TCP."""

from msgspec import Struct

from tulle.model.names import ServicePort
from tulle.view.authority import bare, split_authority
from tulle.view.backends import target
from tulle.view.reader import Reader
from tulle.view.virtual_host import applicable


class TcpBackend(Struct, frozen=True):
    """`port` None: a reference that cannot be followed; its share of connections must fail."""

    port: ServicePort | None
    weight: int


def tcp_backends(reader: Reader, client_namespace: str, address: str) -> tuple[TcpBackend, ...] | None:
    """The backends of `240.244.0.1:9000` for clients of a namespace; None where no service has that address and
    port for TCP. The first rule of the oldest TCPRoute decides (a TCPRoute has nothing to match on)."""
    host, number = split_authority(address)
    service = reader.service_at(bare(host))
    port = service.port(number or 0) if service else None
    if service is None or port is None or port.protocol != "tcp":
        return None
    routes = applicable(reader.tcp_routes(service.name), client_namespace, service, port)
    if not routes:
        return (TcpBackend(ServicePort(service.name, port.port), 1),)
    route = min(routes, key=lambda r: (r.metadata.creation_timestamp or "", r.ref))
    rule = route.spec.rules[0]
    return tuple(TcpBackend(target(reader, route, ref), ref.weight) for ref in rule.backend_refs if ref.weight)
