"""Fixtures for tests of resources."""

from collections.abc import Callable

import pytest

from tulle.model.parse import parse_yaml


@pytest.fixture
def mistakes() -> Callable[[str], dict[str, str]]:
    """The messages of what is wrong with a text, by path."""

    def found(text: str) -> dict[str, str]:
        return {problem.path: problem.message for problem in parse_yaml(text, "f.yaml")[1]}

    return found
