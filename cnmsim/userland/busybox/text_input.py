"""Functions with which the text applets read files or stdin, whole or as lines, and print lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.devices import Device
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.invocation import absolute_path, read_all

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


@frozen
class Input:
    """The content of one operand. `name` is the operand as the user typed it, or `-` for stdin."""

    name: str
    data: bytes


async def read_inputs(
    process: Process,
    operands: list[str],
    message: str = "{}: {}",
    *,
    size: int | None = None,
    is_open: bool = False,
    is_silent: bool = False,
) -> tuple[list[Input], int]:
    """Read every operand, or stdin if there are none.

    Return the contents of the readable ones, and exit status 1 if a file was unreadable, else 0.

    For an unreadable file `message` is printed, unless `is_silent` is set; its two `{}` are replaced by the operand
    and the reason. Of a device such as /dev/zero at most `size` bytes are read; with `is_open` and no `size` the
    device is opened, but nothing is read.
    """
    inputs: list[Input] = []
    status = 0
    for operand in operands or ["-"]:
        if operand in ("-", "/dev/stdin"):
            inputs.append(Input("-", await read_all(process.stdin)))
            continue
        try:
            file = process.files.file(absolute_path(process, operand))
            if isinstance(file, Device) and (size is not None or is_open):
                inputs.append(Input(operand, file.read(size or 0)))
            else:
                inputs.append(Input(operand, file.content))
        except OSError as error:
            status = 1 if is_silent else complain(process, message.format(operand, strerror(error)))
    return inputs, status


def lines_of(data: bytes) -> list[str]:
    """Split `data` into lines without their newlines.

    Bytes that are not UTF-8 become surrogate escapes, which `print_lines` prints as the original bytes.
    """
    text = data.decode(errors="surrogateescape")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def print_lines(process: Process, lines: list[str]) -> None:
    """Print each line, followed by a newline."""
    process.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
