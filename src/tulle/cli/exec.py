"""`tulle exec`: runs a command where a workload is."""

import os
from typing import Annotated

import typer

from tulle.agent.capture import rootless
from tulle.agent.capture.launch import Launch
from tulle.agent.capture.process import become, resolv_conf
from tulle.agent.capture.rules import RESOLVER
from tulle.agent.local_messages import Enter, Entrance
from tulle.api.paths import run_paths
from tulle.cli import options
from tulle.cli.errors import Failure
from tulle.cli.local import ask_agent

app = typer.Typer(add_completion=False)


@app.command(context_settings={"ignore_unknown_options": True})
def exec_(
    name: Annotated[str, typer.Argument(help="A workload, or an App: then one of its replicas.")],
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    namespace: options.Namespace = "default",
) -> None:
    """Run a command where a workload is.

    It sees the network as the workload does: the mesh's names, and nothing but the workload's proxy.

    \b
    Examples:
      tulle exec -n shop web -- curl -s http://catalog:8080/items
      tulle exec -n shop web -- python
    """
    paths = run_paths(os.environ, os.geteuid())
    enter(ask_agent(paths.agent_socket, Enter(namespace, name)), command)


def enter(entrance: Entrance, command: list[str]) -> None:
    """Becomes the command inside. Raises Failure."""
    try:
        rootless.join(entrance.agent_pid)
        become(
            Launch(
                network=entrance.network,
                run_dir=entrance.run_dir,
                hidden=entrance.hidden,
                shown=(),
                resolv_conf=resolv_conf(entrance.namespace, RESOLVER, entrance.search_domain),
                run_as=None,
                directory=os.getcwd(),  # noqa: PTH109
                command=tuple(command),
                environment=dict(os.environ),
                record=None,
            )
        )
    except OSError as error:
        raise Failure(f"{command[0]} cannot be run there: {error}") from error
