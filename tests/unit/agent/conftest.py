"""Tests marked `virtual_time` run in a loop whose waits take no time."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from tests.fakes.virtual_time import VirtualTimeLoop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: waits take no time; the loop's clock jumps")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"loop": VirtualTimeLoop if item.get_closest_marker("virtual_time") else asyncio.new_event_loop}
