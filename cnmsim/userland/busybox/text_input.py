"""Input and output of the text applets: whole files or stdin, or their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.invocation import absolute_path, read_all

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


@frozen
class Input:
    """The content of one operand. `name` is the operand as typed, `-` for stdin."""

    name: str
    data: bytes


async def read_inputs(process: Process, operands: list[str], message: str = "{}: {}") -> tuple[list[Input], int]:
    """Read every operand, or stdin if there is no operand. Return the contents and the exit status.

    If a file cannot be read, print `message`, a format string for the operand and the reason.
    """
    inputs: list[Input] = []
    status = 0
    for operand in operands or ["-"]:
        if operand == "-":
            inputs.append(Input("-", await read_all(process.stdin)))
            continue
        try:
            inputs.append(Input(operand, process.files.read(absolute_path(process, operand))))
        except OSError as error:
            status = complain(process, message.format(operand, strerror(error)))
    return inputs, status


def lines_of(data: bytes) -> list[str]:
    """Split `data` into lines without their newlines. `print_lines` prints bytes that are not UTF-8 unchanged."""
    text = data.decode(errors="surrogateescape")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def print_lines(process: Process, lines: list[str]) -> None:
    """Print each line, followed by a newline."""
    process.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
