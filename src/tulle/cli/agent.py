"""`tulle agent`: makes this host a node of a mesh."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tulle.agent.app import Agent, AgentSettings
from tulle.agent.credentials import Credentials
from tulle.agent.errors import AgentError
from tulle.cli import options
from tulle.cli.errors import Failure, machine_said
from tulle.cli.foreground import (
    application_environment,
    capture_paths,
    invoking_user,
    keep_private,
    log_to,
    run_until_signalled,
    say_mode,
    until,
)
from tulle.identity.errors import IdentityError
from tulle.identity.spiffe_id import NodeIdentity
from tulle.identity.tokens import JoinToken, read_token
from tulle.model.rules.addresses import is_address

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)


@app.command()
def agent(
    node: Annotated[str, typer.Option(help="This host's name in the mesh.")],
    control_plane: Annotated[str, typer.Option(metavar="HOST:PORT", help="The control plane's --xds-address.")],
    enrolment: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Its --enrolment-address; port 15011 of the same host by default.")
    ] = "",
    address: Annotated[str, typer.Option(metavar="IP", help="Where other nodes reach this one.")] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE|-", help="Holds the join token; needed the first time only.")
    ] = None,
    trust_domain: Annotated[str, typer.Option(help="The mesh's trust domain.")] = "tulle.local",
) -> None:
    """Make this host a node of a mesh.

    Runs the Apps that name this node, and lets processes join (`tulle run`). Stopping the agent leaves applications
    and proxies running; the next start takes them over.

    \b
    Examples:
      tulle token create --node worker-1 --service-account 'shop/*' --out token
      tulle agent --node worker-1 --address 10.0.0.2 \\
          --control-plane 10.0.0.1:15012 --token-file token
    """
    options.check_address(control_plane, "--control-plane")
    options.check_address(enrolment, "--enrolment")
    _check_ip(address)
    keep_private()
    log_to(None)
    paths, rootless_mode = capture_paths()
    say_mode(rootless_mode)
    settings = AgentSettings(
        node,
        address,
        trust_domain,
        paths,
        rootless_mode,
        (paths.state_dir,),
        application_environment(os.environ),
        invoker=invoking_user(os.environ),
    )
    enrolment_address = enrolment or f"{control_plane.rpartition(':')[0]}:15011"

    async def serve() -> None:
        credentials = await Credentials.obtain(
            NodeIdentity(trust_domain, node),
            paths.agent_dir,
            control_plane,
            enrolment_address,
            partial(_token, token_file),
        )
        log.info("this host is node %s; its control plane is %s", node, control_plane)
        await Agent(settings, credentials).run(asyncio.Event(), asyncio.Event())

    async def main(stopping: asyncio.Event) -> int:
        await until(stopping, serve())
        return 0

    try:
        raise typer.Exit(run_until_signalled(main))
    except (IdentityError, AgentError, OSError) as error:
        raise Failure(machine_said(error)) from error


def _token(file: Path | None) -> JoinToken:
    if file is None:
        raise Failure(
            "this host is no node yet: --token-file is needed", "make one: tulle token create --node NAME ..."
        )
    return read_token(str(file), sys.stdin.buffer)


def _check_ip(text: str) -> None:
    """Raises BadParameter."""
    if not is_address(text):
        raise typer.BadParameter(f"{text!r} is no IP address", param_hint="--address")
