"""Every workload has a mesh port of its own, and one that is given back is not given away at once."""

import socket

import pytest

from tulle.agent.mesh_ports import MESH_PORTS, MeshPorts, NoMeshPort, can_be_bound

FIRST = MESH_PORTS.start


def test_ports_go_round() -> None:
    ports = MeshPorts(lambda _: True)
    assert [ports.take({FIRST}), ports.take({FIRST}), ports.take(())] == [FIRST + 1, FIRST + 2, FIRST + 3]


def test_the_round_begins_where_it_is_told_and_closes() -> None:
    ports = MeshPorts(lambda _: True, first=len(MESH_PORTS) - 1)
    assert [ports.take(()), ports.take(())] == [MESH_PORTS[-1], FIRST]


def test_what_another_program_has_is_passed_over() -> None:
    assert MeshPorts(lambda port: port > FIRST + 5).take(()) == FIRST + 6


def test_ports_may_all_be_in_use() -> None:
    with pytest.raises(NoMeshPort, match="15100 to 15899"):
        MeshPorts(lambda _: True).take(MESH_PORTS)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_with_a_listener_cannot_be_bound(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert not can_be_bound(address, port)
    assert can_be_bound(address, port)
