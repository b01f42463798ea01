"""Classic BPF programs in the Linux kernel and here: the same are accepted, and return the same of the same bytes."""

import ctypes
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnmsim.kernel.netfilter import bpf

ATTACH_FILTER = 26
MARGIN = 4096


class _Step(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step))]


def linux(program, data):
    """Return how many bytes of `data` a datagram socket with this filter accepts, `None` if it refuses the filter."""
    steps = (_Step * len(program))(*[_Step(one.code, one.if_true, one.if_false, one.k) for one in program])
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        try:
            other.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, bytes(_Program(len(program), steps)))
        except OSError:
            return None
        try:
            one.send(data)
        except PermissionError:
            return 0
        other.setblocking(False)
        try:
            return len(other.recv(MARGIN))
        except BlockingIOError:
            return 0
    finally:
        one.close()
        other.close()


def ours(program, data):
    if not bpf.is_valid(program):
        return None
    return min(bpf.run(program, data), len(data))


codes = st.one_of(
    st.sampled_from(sorted(bpf._KNOWN)),
    st.sampled_from([0x00, 0x30, 0x28, 0x20, 0x15, 0x06, 0x16]),
    st.integers(0, 0xFF),
)
constants = st.one_of(
    st.integers(0, 40), st.sampled_from([0xFFFFFFFF, 0x80000000, 0xFFFF0000 - 1]), st.integers(0, 0xFFFFFFFF)
)
# Ancillary loads and those from before the packet read what a local socket has not.
safe = constants.filter(lambda k: k < 0x80000000)
steps = st.builds(bpf.Instruction, codes, st.integers(0, 4), st.integers(0, 4), safe)
programs = st.lists(steps, min_size=0, max_size=10).flatmap(
    lambda body: st.sampled_from([0x06, 0x16]).flatmap(
        lambda code: constants.map(lambda k: [*body, bpf.Instruction(code, 0, 0, k)])
    )
)


def uses_unset_memory(program):
    """Whether a program may read scratch memory before it is written, which the kernel refuses."""
    return any(one.code in (0x60, 0x61) for one in program)


@given(program=programs, data=st.binary(min_size=1, max_size=80))
@settings(max_examples=1500, deadline=None)
@example([bpf.Instruction(0x80, 0, 0, 0), bpf.Instruction(0x16, 0, 0, 0)], b"x" * 9)
@example(
    [bpf.Instruction(0xB1, 0, 0, 0), bpf.Instruction(0x48, 0, 0, 2), bpf.Instruction(0x16, 0, 0, 0)], b"\x03" * 40
)
def test_programs_are_taken_and_return_alike(program, data):
    if uses_unset_memory(program):
        return
    assert ours(program, data) == linux(program, data)


@pytest.mark.parametrize("operation", [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0])
@pytest.mark.parametrize("source", [0, 8])
@given(a=st.integers(0, 0xFFFFFFFF), value=st.integers(0, 31))
@settings(max_examples=20, deadline=None)
def test_arithmetic_is_the_same(operation, source, a, value):
    code = 0x04 | operation | source
    compare = [
        bpf.Instruction(0x00, 0, 0, a),
        bpf.Instruction(0x01, 0, 0, value),
        bpf.Instruction(code, 0, 0, value),
        bpf.Instruction(0x02, 0, 0, 3),
        bpf.Instruction(0x74, 0, 0, 24),
        bpf.Instruction(0x54, 0, 0, 0x3F),
        bpf.Instruction(0x07, 0, 0, 0),
        bpf.Instruction(0x60, 0, 0, 3),
        bpf.Instruction(0x54, 0, 0, 0x3F),
        bpf.Instruction(0x0C, 0, 0, 0),
        bpf.Instruction(0x16, 0, 0, 0),
    ]
    data = bytes(range(200))
    assert ours(compare, data) == linux(compare, data)
