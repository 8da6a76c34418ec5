"""`tulle server`: runs a control plane."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from tulle.cli import options
from tulle.cli.errors import Failure, machine_said
from tulle.cli.foreground import keep_private, log_to, own_paths, run_until_signalled, until
from tulle.control.app import ControlPlane, ControlSettings
from tulle.control.http import HttpsSettings
from tulle.identity.errors import IdentityError
from tulle.identity.private_file import make_private_directory, read_private
from tulle.store.protocol import StoreError

log = logging.getLogger(__name__)

app = typer.Typer(add_completion=False)

ALL = "0.0.0.0"  # noqa: S104 (agents are on other hosts)


@app.command()
def server(
    trust_domain: Annotated[str, typer.Option(help="The mesh's trust domain; fixed for ever.")] = "tulle.local",
    store: Annotated[str, typer.Option(metavar="URL", help="sqlite:PATH, or memory: for a trial.")] = "",
    xds_address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where agents connect.")] = f"{ALL}:15012",
    enrolment_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where new nodes enrol.")
    ] = f"{ALL}:15011",
    default_node: Annotated[str, typer.Option(metavar="NODE", help="Where Apps run that name no node.")] = "",
    api_address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Serve the API to other hosts, too.")] = "",
    api_certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate of --api-address.")] = None,
    api_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of --api-certificate.")] = None,
    api_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token that the API asks for.")
    ] = None,
) -> None:
    """Run a control plane.

    It keeps resources and the certificate authority in the state directory (TULLE_STATE_DIR), and listens for
    commands of this host on a socket in the run directory (TULLE_RUN_DIR).

    \b
    Examples:
      tulle server
      tulle server --xds-address 10.0.0.1:15012 --enrolment-address 10.0.0.1:15011
      tulle server --api-address 10.0.0.1:8443 --api-token-file token \\
          --api-certificate api.pem --api-key api.key
    """
    for option, text in (
        ("--xds-address", xds_address),
        ("--enrolment-address", enrolment_address),
        ("--api-address", api_address),
    ):
        options.check_address(text, option)
    keep_private()
    log_to(None)
    paths = own_paths(len("/api.sock"))
    try:
        https = _https(api_address, api_certificate, api_key, api_token_file)
        make_private_directory(paths.run_dir)
        plane = ControlPlane(
            ControlSettings(
                trust_domain,
                paths.control_dir,
                paths.api_socket,
                xds_address,
                enrolment_address,
                store,
                default_node,
                https,
            )
        )

        async def main(stopping: asyncio.Event) -> int:
            started = asyncio.Event()
            telling = asyncio.create_task(_tell(started, plane), name="tell")
            try:
                await until(stopping, plane.serve(started))
            finally:
                telling.cancel()
            return 0

        code = run_until_signalled(main)
    except (IdentityError, StoreError, OSError, ValueError) as error:
        raise Failure(machine_said(error)) from error
    raise typer.Exit(code)


async def _tell(started: asyncio.Event, plane: ControlPlane) -> None:
    await started.wait()
    settings = plane.settings
    log.info("commands are answered at %s, agents at %s", settings.api_socket, settings.xds_address)
    log.info("new nodes enrol at %s", settings.enrolment_address)


def _https(address: str, certificate: Path | None, key: Path | None, token_file: Path | None) -> HttpsSettings | None:
    if not address:
        return None
    if certificate is None or key is None or token_file is None:
        raise Failure("--api-address needs --api-certificate, --api-key and --api-token-file")
    host, _, port = address.rpartition(":")
    token = read_private(token_file).decode("utf-8").strip()
    if not token:
        raise Failure(f"--api-token-file {token_file} is empty")
    return HttpsSettings(host.strip("[]"), int(port), certificate, key, token)
