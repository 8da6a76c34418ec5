"""`tulle up`: a whole mesh in the foreground: control plane, agent, and the applications of some files."""

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated

import typer

from tulle.agent.app import Published
from tulle.agent.errors import AgentError
from tulle.cli import options
from tulle.cli.declared import valid_resources
from tulle.cli.errors import Failure, machine_said
from tulle.cli.foreground import (
    application_environment,
    capture_paths,
    invoking_user,
    keep_private,
    log_to,
    own_paths,
    run_until_signalled,
    say_mode,
)
from tulle.cli.whole_mesh import UpSettings, WholeMesh
from tulle.identity.errors import IdentityError
from tulle.identity.private_file import make_private_directory
from tulle.model.app import App
from tulle.model.duration import Duration
from tulle.model.kinds import Resource

app = typer.Typer(add_completion=False)

LOG = "up.log"
_PUBLISH = re.compile(r"(\d{1,5}):(?:([a-z0-9-]+)/)?([a-z0-9.-]+):(\d{1,5})")


@app.command()
def up(
    files: options.Files,
    namespace: options.Namespace = "default",
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="End after this time (30s, 5m); until Ctrl-C without it.")
    ] = "",
    mode: Annotated[
        options.ProxyMode | None,
        typer.Option(metavar="sidecar|node", help="A proxy for each workload, or one for all of them."),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="PORT:[NAMESPACE/]APP:PORT", help="Open a port of this host's loopback address."),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long everything may take to be ready.")] = "120s",
) -> None:
    """Run a mesh here: control plane, agent, and the applications that files declare.

    Shows what starts, then a table of services and how to call them. Ctrl-C stops everything. With --for it ends by
    itself, with exit code 0 only if all applications became ready and stayed healthy.

    \b
    Examples:
      tulle up -f examples/01-shop --publish 8080:shop/web:8080
      tulle up -f examples/01-shop --mode node --for 30s
    """
    keep_private()
    limit = _duration(for_, "--for") if for_ else None
    ready_within = _duration(timeout, "--timeout")
    ports = tuple(_published(text, namespace) for text in publish or ())
    resources = tuple(parsed.resource for parsed in valid_resources(files, namespace))
    _check_published(ports, resources)
    _make_directories()
    paths, rootless_mode = capture_paths()
    say_mode(rootless_mode)
    try:
        log_to(paths.state_dir / LOG)
        mesh = WholeMesh(
            UpSettings(
                paths,
                rootless_mode,
                resources,
                mode.value if mode else None,
                ports,
                application_environment(os.environ),
                ready_within,
                limit,
                invoking_user(os.environ),
            )
        )
        code = run_until_signalled(mesh.run)
    except (IdentityError, AgentError, OSError) as error:
        log = paths.state_dir / LOG
        hint = f"the log is {log}" if log.exists() else "name another directory with TULLE_STATE_DIR"
        raise Failure(machine_said(error), hint) from error
    raise typer.Exit(code)


def _make_directories() -> None:
    """Before an ordinary user's process enters its namespace, where the owner of what is another's cannot be named."""
    paths = own_paths()
    for name, directory in (("TULLE_RUN_DIR", paths.run_dir), ("TULLE_STATE_DIR", paths.state_dir)):
        try:
            make_private_directory(directory)
        except (IdentityError, OSError) as error:
            raise Failure(machine_said(error), f"name another directory with {name}") from error


def _check_published(ports: Sequence[Published], resources: Sequence[Resource]) -> None:
    """Raises Failure where a port leads to an App that no file declares: it would be open, and answer nobody."""
    apps = [f"{r.metadata.namespace}/{r.metadata.name}" for r in resources if isinstance(r, App)]
    for port in ports:
        wanted = f"{port.namespace}/{port.app}"
        if wanted not in apps:
            near = get_close_matches(wanted, apps, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"they declare {', '.join(sorted(apps)) or 'none'}"
            raise Failure(f"--publish {port.host_port}: the files declare no App {wanted}", hint)


def _duration(text: str, option: str) -> float:
    """Seconds."""
    try:
        return Duration.parse(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _published(text: str, namespace: str) -> Published:
    match = _PUBLISH.fullmatch(text)
    if match is None or not all(0 < int(port) < 65536 for port in match.group(1, 4)):
        raise typer.BadParameter(
            f"{text!r}: write PORT:APP:PORT or PORT:NAMESPACE/APP:PORT, such as 8080:shop/web:8080",
            param_hint="--publish",
        )
    host_port, in_namespace, name, port = match.groups()
    return Published(int(host_port), in_namespace or namespace, name, int(port))
