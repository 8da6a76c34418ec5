"""Holds what the mesh says of names, for everything on this node that goes by it; a change counts at once."""

from collections.abc import Callable

from tulle.view.types import DnsView

Servers = tuple[tuple[str, int], ...]
"""Addresses and ports, in the order in which they are asked."""


class DnsSettings:
    """`host_servers` are asked where the mesh names none."""

    def __init__(self, host_servers: Callable[[], Servers]) -> None:
        self._host_servers = host_servers
        self._view = DnsView()

    def apply(self, view: DnsView) -> None:
        self._view = view

    @property
    def domains(self) -> tuple[str, ...]:
        return self._view.domains

    @property
    def search_domain(self) -> str:
        """What applications' short names are completed with; empty where the mesh has no domain."""
        return self._view.domains[0] if self._view.domains else ""

    def servers(self) -> Servers:
        return tuple((s.address, s.port) for s in self._view.upstreams) or self._host_servers()
