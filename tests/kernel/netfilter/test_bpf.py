"""Arithmetic of classic BPF: register A combined with the constant or with register X (___bpf_prog_run of Linux)."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.netfilter.bpf import Instruction, is_valid, run

WORDS = st.integers(0, 0xFFFFFFFF)
OPERATIONS: dict[int, Callable[[int, int], int]] = {  # BPF_ADD to BPF_XOR of linux/bpf_common.h
    0x00: operator.add, 0x10: operator.sub, 0x20: operator.mul, 0x30: operator.floordiv, 0x40: operator.or_,
    0x50: operator.and_, 0x90: operator.mod, 0xA0: operator.xor,
}  # fmt: skip
CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0x10: operator.eq, 0x20: operator.gt, 0x30: operator.ge, 0x40: lambda a, value: bool(a & value),
}  # fmt: skip


def result(code: int, a: int, value: int) -> int:
    """Return A after `code` combined `a` with `value`, which is in register X if `code` has that bit."""
    last = Instruction(code, 0, 0, 1 if code & 8 else value)
    program = [Instruction(0x00, 0, 0, value), Instruction(0x07, 0, 0, 0), Instruction(0x00, 0, 0, a), last]
    program.append(Instruction(0x16, 0, 0, 0))
    assert is_valid(program)
    return run(program, b"")


@pytest.mark.parametrize("source", [0x00, 0x08])
@pytest.mark.parametrize("operation", OPERATIONS)
@given(a=WORDS, value=st.integers(1, 0xFFFFFFFF))
def test_arithmetic_is_unsigned_with_32_bits(operation: int, source: int, a: int, value: int) -> None:
    assert result(0x04 | operation | source, a, value) == OPERATIONS[operation](a, value) % (1 << 32)


@pytest.mark.parametrize(("operation", "shift"), [(0x60, operator.lshift), (0x70, operator.rshift)])
@given(a=WORDS, bits=st.integers(0, 31))
def test_shifts(operation: int, shift: Callable[[int, int], int], a: int, bits: int) -> None:
    assert result(0x0C | operation, a, bits) == result(0x04 | operation, a, bits) == shift(a, bits) % (1 << 32)


@given(WORDS)
def test_division_by_a_zero_in_x_ends_the_program_with_zero(a: int) -> None:
    assert result(0x3C, a, 0) == result(0x9C, a, 0) == 0  # filter.rst: the program is terminated with 0


@pytest.mark.parametrize("source", [0x00, 0x08])
@pytest.mark.parametrize("operation", CONDITIONS)
@given(a=WORDS, value=WORDS)
def test_conditional_jumps(operation: int, source: int, a: int, value: int) -> None:
    for other in {a, value}:
        program = [
            Instruction(0x00, 0, 0, other),
            Instruction(0x07, 0, 0, 0),
            Instruction(0x00, 0, 0, a),
            Instruction(0x05 | operation | source, 0, 1, other),
            Instruction(0x06, 0, 0, 1),
            Instruction(0x06, 0, 0, 2),
        ]
        assert is_valid(program)
        assert run(program, b"") == (1 if CONDITIONS[operation](a, other) else 2)
