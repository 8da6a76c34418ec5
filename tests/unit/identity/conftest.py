"""A control plane's identity end, running."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.identity_server import ControlPlane


@pytest.fixture
async def control_plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    control_plane = ControlPlane(tmp_path)
    await control_plane.start()
    yield control_plane
    await control_plane.stop()
