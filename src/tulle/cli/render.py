"""`tulle render`: what proxies would be told, from files, by the same code that tells them."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from tulle.cli import options
from tulle.cli.declared import valid_resources
from tulle.cli.errors import Failure
from tulle.cli.output import print_json, print_yaml, table
from tulle.cli.rehearse import rehearse
from tulle.model import snapshot
from tulle.model.keys import ClusterKey, EndpointsKey, Key, RouteConfigKey, VirtualHostKey
from tulle.model.names import ProxyId, ServicePort
from tulle.model.snapshot import Snapshot
from tulle.view import Reader, build, scope
from tulle.view.proxy import proxy_of
from tulle.xds import type_urls
from tulle.xds.names import key_of, name_of
from tulle.xds.plain import body_json
from tulle.xds.resource import Resource
from tulle.xds.translate import translate

app = typer.Typer(add_completion=False)

TYPES = {
    "listener": type_urls.LISTENER,
    "cluster": type_urls.CLUSTER,
    "endpoints": type_urls.ENDPOINTS,
    "routeconfig": type_urls.ROUTE_CONFIG,
    "virtualhost": type_urls.VIRTUAL_HOST,
    "node": type_urls.NODE,
    "name": type_urls.NAME,
}
TYPE_NAMES = {url: name for name, url in TYPES.items()}


class Encoding(StrEnum):
    yaml = "yaml"
    json = "json"


@app.command()
def render(
    files: options.Files,
    type_name: Annotated[str, typer.Argument(metavar="[TYPE]", help=f"One of {', '.join(TYPES)}.")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The name of the xDS resource.")] = "",
    proxy: Annotated[str, typer.Option("--proxy", help="All that this proxy starts with.")] = "",
    output: Annotated[Encoding, typer.Option("--output", "-o", help="How to print.")] = Encoding.yaml,
    namespace: options.Namespace = "default",
) -> None:
    """Show what proxies are told, from files.

    The applications are taken to run on one node, each with the workloads <app>-0, <app>-1 and so on. Without TYPE and
    NAME, and without --proxy, the names are listed.

    \b
    Examples:
      tulle render -f examples/01-shop
      tulle render -f examples/01-shop virtualhost shop/catalog:8080
      tulle render -f examples/01-shop cluster catalog-v1.shop:8080 -o json
      tulle render -f examples/01-shop --proxy sidecar~local~shop~web-0
    """
    declared = tuple(parsed.resource for parsed in valid_resources(files, namespace))
    mesh = snapshot.build(rehearse(declared))
    if proxy:
        resources = _roots(mesh, proxy)
    elif type_name and name:
        resources = (_one(mesh, type_name, name),)
    elif type_name:
        raise typer.BadParameter("a TYPE needs a NAME", param_hint="NAME")
    else:
        _list(mesh)
        return
    documents = [_document(resource) for resource in resources]
    shown = documents[0] if type_name else documents
    (print_json if output is Encoding.json else print_yaml)(shown)


def _one(mesh: Snapshot, type_name: str, name: str) -> Resource:
    type_url = TYPES.get(type_name.lower())
    if type_url is None:
        raise typer.BadParameter(f"'{type_name}' is none of {', '.join(TYPES)}", param_hint="TYPE")
    key = key_of(type_url, name)
    view = build(Reader(mesh), key) if key else None
    if view is None:
        raise Failure(f"there is no {type_name} '{name}'", "without TYPE and NAME, `tulle render` lists the names")
    return translate(view)


def _roots(mesh: Snapshot, proxy: str) -> tuple[Resource, ...]:
    parsed = ProxyId.parse(proxy)
    keys = _starts_with(mesh, parsed) if parsed else ()
    if not keys:
        known = ", ".join(str(each) for each in _proxies(mesh)) or "none: there is no App"
        raise Failure(f"there is no proxy '{proxy}'", f"there are {known}")
    views = (build(Reader(mesh), key) for key in keys)
    return tuple(translate(view) for view in views if view is not None)


def _starts_with(mesh: Snapshot, proxy: ProxyId) -> tuple[Key, ...]:
    own = scope(Reader(mesh), proxy)
    return (*own.clusters, *own.listeners)


def _list(mesh: Snapshot) -> None:
    rows = [("proxy", str(proxy)) for proxy in _proxies(mesh)]
    keys = (*(key for proxy in _proxies(mesh) for key in _starts_with(mesh, proxy)), *_on_demand(mesh))
    for key in dict.fromkeys(keys):
        type_url, name = name_of(key)
        rows.append((TYPE_NAMES[type_url], name))
    table(("TYPE", "NAME"), rows)


def _proxies(mesh: Snapshot) -> tuple[ProxyId, ...]:
    """The proxies that the workloads need, sidecars and node proxies."""
    return tuple(dict.fromkeys(proxy_of(name, workload) for name, workload in sorted(mesh.workloads.items())))


def _on_demand(mesh: Snapshot) -> tuple[Key, ...]:
    """What clients in a service's own namespace would ask for."""
    keys: list[Key] = [RouteConfigKey(namespace) for namespace in sorted({name.namespace for name in mesh.workloads})]
    for name, service in sorted(mesh.services.items()):
        for port in service.ports:
            if port.protocol != "tcp":
                keys.append(VirtualHostKey(name.namespace, f"{name.name}:{port.port}"))
            service_port = ServicePort(name, port.port)
            keys += [ClusterKey(service_port), EndpointsKey(service_port)]
    return tuple(keys)


def _document(resource: Resource) -> object:
    """The body as plain data. By way of the text: what MessageToDict makes of an `Any` is no plain dict, and YAML
    refuses it."""
    return json.loads(body_json(resource))
