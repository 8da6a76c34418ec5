"""A launch survives its way through a descriptor."""

import pytest

from tulle.agent.capture.launch import Launch, RunAs


@pytest.mark.parametrize("run_as", [None, RunAs(1000, 1000, (4, 27))])
def test_a_launch_is_read_as_it_was_written(run_as: RunAs | None) -> None:
    launch = Launch(
        network="/run/tulle/ns/shop~catalog-1",
        run_dir="/run/tulle",
        hidden=("/var/lib/tulle",),
        shown=(),
        resolv_conf="nameserver 127.0.0.53\n",
        run_as=run_as,
        directory="/",
        command=("sleep", "1"),
        environment={"GREETING": "héllo"},
        record=None,
    )
    read = Launch.from_json(launch.to_json())
    assert read.to_json() == launch.to_json()
    assert read.run_as == run_as
    assert read.command == ("sleep", "1")
