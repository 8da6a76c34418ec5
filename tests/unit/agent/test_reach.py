"""Something that listens is told from something that does not."""

import socket

import pytest

from tulle.agent.reach import accepts


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_what_listens_on_this_host_accepts(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert await accepts(None, address, port)
    assert not await accepts(None, address, port)


async def test_a_namespace_that_is_gone_accepts_nothing(tmp_path) -> None:
    assert not await accepts(tmp_path / "gone", "127.0.0.1", 1)
