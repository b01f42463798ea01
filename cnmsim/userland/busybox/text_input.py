"""What the programs about text read and print: files and stdin, whole or as lines."""

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
    """What one operand names: its name as typed, `-` for stdin, and its content."""

    name: str
    data: bytes


async def read_inputs(process: Process, operands: list[str], message: str = "{}: {}") -> tuple[list[Input], int]:
    """Read all of every operand, or stdin without one; gives them and the exit status.

    What cannot be read is told with `message`, whose fields are the operand and the reason.
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
    """Give the lines without their ends; octets that are no text survive `print_lines`."""
    text = data.decode(errors="surrogateescape")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def print_lines(process: Process, lines: list[str]) -> None:
    """Print lines, each with an end."""
    process.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
