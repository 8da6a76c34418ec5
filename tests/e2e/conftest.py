"""Meshes that several tests share. As root all tests run; an ordinary user runs those that need no root."""

import os
from collections.abc import Iterator

import pytest
from tests.e2e.live import ORDINARY, ROOT, Installation, User, installation


def skip_unless_possible(user: User) -> None:
    """Root can be anybody. In CI a test that cannot run fails; it is never skipped there."""
    if os.geteuid() not in (0, user.uid) and not os.environ.get("CI"):
        pytest.skip(f"needs to run as root to be {user.name}")


@pytest.fixture(params=[ROOT, ORDINARY], ids=lambda user: user.name)
def anybody(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """An installation of root's and one of an ordinary user's, with nothing running."""
    skip_unless_possible(request.param)
    with installation(request.param) as made:
        yield made


@pytest.fixture
def bare() -> Iterator[Installation]:
    """An installation with nothing running, of the user who runs the tests."""
    with installation(ROOT if os.geteuid() == 0 else ORDINARY) as made:
        yield made
