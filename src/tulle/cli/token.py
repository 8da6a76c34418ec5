"""`tulle token`: makes what a new node's agent proves with that it may join."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tulle.api.messages import Token, TokenRequest
from tulle.cli import options
from tulle.cli.client import connect
from tulle.cli.errors import Failure
from tulle.cli.output import say, warn
from tulle.identity.private_file import create_private

app = typer.Typer(add_completion=False, help="Make tokens with which nodes join.", no_args_is_help=True)


@app.callback()
def token() -> None:
    """Make tokens with which nodes join."""


@app.command()
def create(
    node: Annotated[str, typer.Option("--node", help="The name of the node that may join.")],
    accounts: Annotated[
        list[str] | None,
        typer.Option(
            "--service-account", metavar="NAMESPACE/NAME", help="One that its workloads may run as, or shop/*. Repeat."
        ),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="How long it can be used: 30m, 1h, up to 168h.")] = "1h",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it to a new file that only you can read.")
    ] = None,
    server: options.Server = "",
    token_file: options.TokenFile = None,
    ca_file: options.CaFile = None,
) -> None:
    """Make a token that lets one node join, once.

    It also says which control plane to trust. Hand it over in a file: command lines are seen by others.

    \b
    Examples:
      tulle token create --node web-1 --service-account shop/web --out web-1.token
      tulle token create --node web-1 | ssh web-1 'umask 077; cat > token'
    """
    body = msgspec.json.encode(TokenRequest(node, tuple(accounts or ()), ttl))
    made = connect(server, token_file, ca_file).post("/v1/tokens", body, Token)
    if out is None:
        say(made.token)
        return
    _write(out, made.token)
    warn(f"the token of node {node} is in {out}; it works once, within {ttl}")


def _write(path: Path, text: str) -> None:
    """Raises Failure where the file exists already: somebody else may have it open."""
    try:
        create_private(path, f"{text}\n".encode())
    except FileExistsError as error:
        raise Failure(f"--out {path}: exists already", "name a new file") from error
    except OSError as error:
        raise Failure(f"--out {path}: {error.strerror}") from error
