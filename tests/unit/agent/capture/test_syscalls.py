"""The filters of system calls, run by a small interpreter of their instructions."""

import struct

import pytest

from tulle.agent.capture.syscalls import network_namespaces_filter, socket_filter

ALLOWED = 0x7FFF0000
EAFNOSUPPORT = 0x00050000 | 97
ENOSYS = 0x00050000 | 38
EPERM = 0x00050000 | 1
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
FAMILIES = (1, 2, 10, 16)


def run(program: bytes, number: int, architecture: int, argument: int, second: int = 0) -> int:
    """What the kernel would do: seccomp_data is the call's number, the architecture, an address and six arguments."""
    data = struct.pack("=IIQQQ", number, architecture, 0, argument, second)
    instructions = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, then, otherwise, operand = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x15:
            at += then if accumulator == operand else otherwise
        elif code == 0x45:
            at += then if accumulator & operand else otherwise
        elif code == 0x06:
            return int(operand)
        else:
            raise AssertionError(code)


@pytest.mark.parametrize(("machine", "architecture", "call"), [("x86_64", X86_64, 41), ("aarch64", AARCH64, 198)])
def test_sockets_of_the_families_only(machine: str, architecture: int, call: int) -> None:
    program = socket_filter(FAMILIES, machine)
    outcomes = {family: run(program, call, architecture, family) for family in range(50)}
    assert {family for family, outcome in outcomes.items() if outcome == ALLOWED} == set(FAMILIES)
    assert {outcomes[family] for family in outcomes if family not in FAMILIES} == {EAFNOSUPPORT}


@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", X86_64), ("aarch64", AARCH64)])
def test_other_calls_are_free_and_ways_around_are_missing(machine: str, architecture: int) -> None:
    program = socket_filter(FAMILIES, machine)
    assert run(program, 0, architecture, 40) == ALLOWED
    assert run(program, 425, architecture, 1) == ENOSYS
    assert run(program, 359, I386, 40) == ENOSYS
    assert run(program, 0x40000000 | 41, architecture, 40) == ENOSYS


def test_an_unknown_processor_is_an_error() -> None:
    with pytest.raises(KeyError):
        socket_filter(FAMILIES, "vax")


MOUNT, UNSHARE, BPF, PTRACE, SETNS, CLONE = range(6)
NUMBERS = {"x86_64": (165, 272, 321, 101, 308, 56), "aarch64": (40, 97, 280, 117, 268, 220)}
NEW_NETWORK, NEW_MOUNTS, NEW_USER, THREAD = 0x40000000, 0x00020000, 0x10000000, 0x003D0F00


@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", X86_64), ("aarch64", AARCH64)])
def test_of_an_administrators_calls_only_the_way_into_networks_is_left(machine: str, architecture: int) -> None:
    program = network_namespaces_filter(machine)
    numbers = NUMBERS[machine]
    for call in (MOUNT, UNSHARE, BPF, PTRACE):
        assert run(program, numbers[call], architecture, 0) == EPERM
    assert run(program, 442, architecture, 0) == EPERM  # mount_setattr
    assert run(program, numbers[SETNS], architecture, 5, NEW_NETWORK) == ALLOWED
    for kind in (0, NEW_MOUNTS, NEW_USER, NEW_NETWORK | NEW_MOUNTS):
        assert run(program, numbers[SETNS], architecture, 5, kind) == EPERM
    assert run(program, numbers[CLONE], architecture, THREAD) == ALLOWED
    for kind in (NEW_NETWORK, NEW_MOUNTS, NEW_USER):
        assert run(program, numbers[CLONE], architecture, THREAD | kind) == EPERM
    assert run(program, 435, architecture, 0) == ENOSYS
    assert run(program, 425, architecture, 0) == ENOSYS
    assert run(program, 21, I386, 0) == ENOSYS
    assert run(program, 0x40000000 | numbers[MOUNT], architecture, 0) == ENOSYS
    assert run(program, 0, architecture, 0) == ALLOWED
