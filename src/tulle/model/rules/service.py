"""Rules for services."""

from collections.abc import Iterator

from tulle.model.problem import Problem
from tulle.model.rules.addresses import is_address
from tulle.model.rules.names import is_subdomain
from tulle.model.rules.unique import repeated
from tulle.model.service import SERVICE_ACCOUNTS, Service, ServiceSpec
from tulle.model.tree import below

HEADLESS = "None"


def service_problems(spec: ServiceSpec) -> Iterator[Problem]:
    if spec.cluster_ip == HEADLESS or HEADLESS in spec.cluster_ips:
        message = "headless services are not served yet: a service needs a virtual address"
        yield Problem("spec.clusterIP", message, "remove it and one is given out")
    for path, address in (("spec.clusterIP", spec.cluster_ip), *_listed_addresses(spec)):
        if address not in ("", HEADLESS) and not is_address(address):
            yield Problem(path, f'"{address}" is no IP address', "remove it and one is given out")
    if not spec.ports and spec.type != "ExternalName":
        yield Problem("spec.ports", "a service needs at least one port", "ports: [{name: http, port: 80}]")
    if spec.type == "ExternalName" and not spec.external_name:
        yield Problem("spec.externalName", "`externalName` is missing, which the type ExternalName needs")
    yield from _port_problems(spec)


def service_account_problems(service: Service) -> Iterator[Problem]:
    """An annotation that names nobody would otherwise let in everybody."""
    if SERVICE_ACCOUNTS not in service.metadata.annotations:
        return
    at = f'metadata.annotations["{SERVICE_ACCOUNTS}"]'
    hint = "write names and commas: catalog, catalog-next"
    if not service.service_accounts:
        yield Problem(at, "names no service account", hint)
    for name in service.service_accounts:
        if not is_subdomain(name):
            yield Problem(at, f'"{name}" is no name of a service account', hint)


def _listed_addresses(spec: ServiceSpec) -> tuple[tuple[str, str], ...]:
    return tuple((below("spec.clusterIPs", index), address) for index, address in enumerate(spec.cluster_ips))


def _port_problems(spec: ServiceSpec) -> Iterator[Problem]:
    if len(spec.ports) > 1:
        for index, port in enumerate(spec.ports):
            if not port.name:
                at = below(below("spec.ports", index), "name")
                yield Problem(at, "`name` is missing: every port needs one where there are several")
    yield from repeated((port.name for port in spec.ports), "spec.ports", "name")
    yield from repeated((f"{port.port}/{port.protocol}" for port in spec.ports), "spec.ports", "port")
