"""A real Envoy takes every golden file."""

import subprocess
from pathlib import Path

import pytest
from tests.golden.golden import FEATURES, resources

from tulle.agent.envoy_binary import find
from tulle.model.names import ProxyId
from tulle.xds.bootstrap import ProxySettings, bootstrap
from tulle.xds.check import static_bootstrap

pytestmark = pytest.mark.e2e

SETTINGS = ProxySettings(ProxyId("n1"), "/run/tulle/xds.sock", "/run/tulle/admin.sock")


def validate(directory: Path, config: bytes) -> None:
    path = directory / "bootstrap.json"
    path.write_bytes(config)
    command = [str(find({}).path), "--mode", "validate", "-l", "error", "-c", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]


@pytest.mark.parametrize("feature", FEATURES)
def test_envoy_takes(feature: str, tmp_path: Path) -> None:
    validate(tmp_path, static_bootstrap(SETTINGS, resources(feature)))


def test_envoy_takes_the_bootstrap(tmp_path: Path) -> None:
    validate(tmp_path, bootstrap(SETTINGS))
