"""`tulle status`: whether the mesh is well, and if not, what is not."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from tulle.api.backend import AuthorityState, NodeState, ProxyState
from tulle.cli import options
from tulle.cli.client import connect
from tulle.cli.columns import NONE
from tulle.cli.errors import FAILED
from tulle.cli.output import heading, print_json, say, table
from tulle.cli.overview import Overview, ServiceState, overview, rejection, troubles

app = typer.Typer(add_completion=False)

WIDEST_REJECTION = 100


class Report(Struct, frozen=True, rename="camel"):
    services: tuple[ServiceState, ...]
    proxies: tuple[ProxyState, ...]
    nodes: tuple[NodeState, ...]
    authority: AuthorityState
    problems: tuple[str, ...]


@app.command()
def status(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Only services of this namespace; without it, of all.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Show services, proxies and nodes, and what is wrong.

    Exits with 1 when something is wrong.

    \b
    Examples:
      tulle status
      tulle status -n shop
      tulle status --json
    """
    state = overview(connect(server, token_file, ca_file))
    problems = troubles(state, namespace)
    if as_json:
        report = Report(state.services(namespace), state.proxies, state.nodes, state.authority, problems)
        print_json(msgspec.json.decode(msgspec.json.encode(report)))
    else:
        _print(state, namespace, problems)
    if problems:
        raise typer.Exit(FAILED)


def _print(state: Overview, namespace: str, problems: tuple[str, ...]) -> None:
    services = [
        (s.name.namespace, s.name.name, ",".join(s.protocols) or NONE, f"{s.ready}/{s.total}", _word(s))
        for s in state.services(namespace)
    ]
    _section("Services", ("NAMESPACE", "NAME", "PORTS", "READY", "STATE"), services)
    proxies = [(p.id, _sync(p), rejection(p)[:WIDEST_REJECTION] or NONE) for p in state.proxies]
    _section("Proxies", ("ID", "STATE", "LAST-REJECTION"), proxies)
    nodes = [
        (
            n.name,
            _connection(n),
            str(n.workloads),
            str(n.proxies),
            n.certificate_expires or NONE,
            life_used(n),
            _signed(n),
        )
        for n in state.nodes
    ]
    headers = ("NAME", "STATE", "WORKLOADS", "PROXIES", "CERTIFICATE-EXPIRES", "LIFE-USED", "CERTIFICATES")
    _section("Nodes", headers, nodes)
    authority = state.authority
    _section(
        "Certificate authority",
        ("TRUST-DOMAIN", "EXPIRES", "LIFE-USED"),
        [(authority.trust_domain, authority.expires, f"{authority.life_used}%")],
    )
    heading("Problems")
    for problem in problems or ("none",):
        say(f"  {problem}")


def _section(title: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    heading(title)
    if rows:
        table(headers, rows)
    else:
        say("  none")
    say("")


def _word(service: ServiceState) -> str:
    if service.ready == 0:
        return "NotReady"
    return "Ready" if service.ready == service.total else "Partial"


def _sync(proxy: ProxyState) -> str:
    if not proxy.connected:
        return "Disconnected"
    if rejection(proxy):
        return "Rejected"
    return "Synced" if proxy.in_sync else "Pending"


def life_used(node: NodeState) -> str:
    return NONE if node.certificate_life_used is None else f"{node.certificate_life_used}%"


def _signed(node: NodeState) -> str:
    """One word on the certificates of a node and of its workloads."""
    if node.certificate_problems:
        return "NotRenewed"
    return NONE if node.certificate_life_used is None else "InTime"


def _connection(node: NodeState) -> str:
    return "Connected" if node.connected else "Disconnected"
