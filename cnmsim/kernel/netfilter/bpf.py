"""Classic BPF programs as xt_bpf runs them (Documentation/networking/filter.rst of Linux).

A program is a list of instructions, each with an operation code, two jumps and a constant. Offset 0 of the packet is
the first byte of the IP header; loads relative to the network header (`SKF_NET_OFF`) count from the same byte. Of the
ancillary data (`SKF_AD_OFF`) only the fields in `ANCILLARY` are available; a program that loads any other field is
rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

#: The maximum number of instructions that iptables accepts (XT_BPF_MAX_NUM_INSTR).
LONGEST = 64
_WORD = 0xFFFFFFFF
_NET_OFFSET = -0x100000
_ANCILLARY_FROM = 0x1_0000_0000 - 0x1000
_SCRATCH = 16
#: Ancillary data by offset (linux/filter.h): Ethernet type, packet type, interface index, mark, offset of the
#: payload.
PROTOCOL, PACKET_TYPE, INTERFACE, MARK, PAYLOAD_OFFSET = ANCILLARY = (0, 4, 8, 20, 52)

# Instruction classes, and the meaning of the other bits (linux/bpf_common.h).
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_FROM_X = 0x08
_ALU_NEG = 0x80


@frozen
class Instruction:
    """One instruction.

    `code` is its operation code and `k` its constant. For a conditional jump, `if_true` and `if_false` are the
    numbers of instructions to skip.
    """

    code: int
    if_true: int
    if_false: int
    k: int

    def __str__(self) -> str:
        return f"{self.code} {self.if_true} {self.if_false} {self.k}"


class _EndError(Exception):
    """Raised when a load reads outside the packet, or in a division by 0; the program then ends with result 0."""


def _load(data: bytes, at: int, size: int) -> int:
    if at < 0 or at + size > len(data):
        raise _EndError
    return int.from_bytes(data[at : at + size])


def _signed(k: int) -> int:
    return k - (1 << 32) if k & 0x80000000 else k


def _place(k: int, index: int) -> int:
    """Return the offset in the packet, in bytes, at which a load instruction reads.

    `k` is the instruction's constant; `index` (register X for indirect loads, otherwise 0) is added to it. A `k` that
    is negative as a signed 32-bit number counts from the network header. Raises `_EndError` if it counts from the
    link header, which xt_bpf does not have.
    """
    signed = _signed(k)
    if signed >= 0:
        return signed + index
    if signed < _NET_OFFSET:
        raise _EndError  # xt_bpf runs without the link header
    return signed - _NET_OFFSET + index


def _nothing(number: int) -> int:
    return 0


class _Machine:
    __slots__ = ("a", "ancillary", "data", "memory", "x")

    def __init__(self, data: bytes, ancillary: Callable[[int], int]) -> None:
        self.data = data
        self.ancillary = ancillary
        self.a = self.x = 0
        self.memory = [0] * _SCRATCH

    def load(self, code: int, k: int) -> int:
        """Run a load instruction (LD, LDX) and return the value that it reads.

        `code` is its operation code, `k` its constant.
        """
        mode = code & 0xE0
        if mode == _IMM:
            return k
        if mode == _LEN:
            return len(self.data)
        if mode == _MEM:
            return self.memory[k]
        if mode == _MSH:
            return (_load(self.data, _place(k, 0), 1) & 0xF) * 4
        if mode == _ABS and k >= _ANCILLARY_FROM:
            return self.ancillary(k - _ANCILLARY_FROM)
        return _load(self.data, _place(k, self.x if mode == _IND else 0), _SIZES[code & 0x18])

    def compute(self, code: int, k: int) -> None:
        """Run an ALU instruction with the operation code `code`: combine register A with `k` or register X.

        The result is stored in A.
        """
        value = self.x if code & _FROM_X else k
        operation = code & 0xF0
        if operation in (0x30, 0x90) and not value:
            raise _EndError
        a = self.a
        results = {
            0x00: lambda: a + value, 0x10: lambda: a - value, 0x20: lambda: a * value, 0x30: lambda: a // value,
            0x40: lambda: a | value, 0x50: lambda: a & value,
            0x60: lambda: a << (value & 31), 0x70: lambda: a >> (value & 31),
            _ALU_NEG: lambda: -a, 0x90: lambda: a % value, 0xA0: lambda: a ^ value,
        }  # fmt: skip
        self.a = results[operation]() & _WORD

    def holds(self, code: int, k: int) -> bool:
        """Return True if the condition of a conditional jump is true.

        `code` selects the comparison, and whether register A is compared with the constant `k` or with register X.
        """
        value = self.x if code & _FROM_X else k
        operation = code & 0xF0
        if operation == 0x10:
            return self.a == value
        if operation == 0x20:
            return self.a > value
        if operation == 0x30:
            return self.a >= value
        return bool(self.a & value)


def run(program: Sequence[Instruction], data: bytes, ancillary: Callable[[int], int] = _nothing) -> int:
    """Run a valid program (see `is_valid`) on a packet and return the value of its RET instruction.

    Return 0 if the program reads outside the packet or divides by 0. `data` is the packet from its IP header on;
    `ancillary` is called with an offset in `ANCILLARY` and returns the value of that field.
    """
    machine = _Machine(data, ancillary)
    at = 0
    try:
        while True:
            instruction = program[at]
            at += 1
            code, k = instruction.code, instruction.k
            kind = code & 7
            if kind == _LD:
                machine.a = machine.load(code, k)
            elif kind == _LDX:
                machine.x = machine.load(code, k)
            elif kind == _ST:
                machine.memory[k] = machine.a
            elif kind == _STX:
                machine.memory[k] = machine.x
            elif kind == _ALU:
                machine.compute(code, k)
            elif kind == _JMP:
                at += (
                    k if not code & 0xF0 else instruction.if_true if machine.holds(code, k) else instruction.if_false
                )
            elif kind == _RET:
                return machine.a if code & 0x18 == 0x10 else k
            elif code & 0xF8:
                machine.a = machine.x
            else:
                machine.x = machine.a
    except _EndError:
        return 0


_LOADS = {0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80}
_LOADS_X = {0x01, 0x61, 0x81, 0xB1}
_ARITHMETIC = {0x04 | operation << 4 | source for operation in range(8) for source in (0, 8)} | {
    0x84, 0x94, 0x9C, 0xA4, 0xAC,
}  # fmt: skip
_JUMPS = {0x05} | {0x05 | operation << 4 | source for operation in (1, 2, 3, 4) for source in (0, 8)}
_KNOWN = _LOADS | _LOADS_X | {0x02, 0x03} | _ARITHMETIC | _JUMPS | {0x06, 0x16, 0x07, 0x87}


def is_valid(program: Sequence[Instruction]) -> bool:
    """Return True if the kernel would accept a program (bpf_check_classic).

    Every operation must be known, every jump must stay inside the program, and the last instruction must be a RET.
    """
    for at, instruction in enumerate(program):
        code, k, left = instruction.code, instruction.k, len(program) - at - 1
        if code not in _KNOWN:
            return False
        if code in (0x20, 0x28, 0x30) and k >= _ANCILLARY_FROM and k - _ANCILLARY_FROM not in ANCILLARY:
            return False
        if code in (0x34, 0x94) and not k:
            return False
        if code in (0x64, 0x74) and k >= 32:
            return False
        if code in (0x60, 0x61, 0x02, 0x03) and k >= _SCRATCH:
            return False
        if code & 7 == _JMP and (
            k >= left if code == _JMP else max(instruction.if_true, instruction.if_false) >= left
        ):
            return False
    return bool(program) and program[-1].code in (0x06, 0x16)
