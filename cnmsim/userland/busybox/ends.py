"""The head and tail applets, which print the first or the last lines of files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.devices import Device
from cnmsim.kernel.files import Pipe
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.busybox.text_input import Input, read_inputs
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_GROWTH = 64 << 20
_NUMBER = re.compile(r"([-+]?[0-9]{1,19})([bkmKM]?)")
_SUFFIXES = {"": 1, "b": 512, "k": 1024, "K": 1024, "m": 1 << 20, "M": 1 << 20}


def _signed(options: Options, letter: str, default: int) -> tuple[str, int]:
    """Parse the argument of an option such as `-n +3` or `-c 1k`. Return its sign ("", "-" or "+") and its number.

    `letter` names the option. If it was not given, return "" and `default`. Raises `UsageError` if the number is
    invalid.
    """
    text = options.get(letter)
    if text is None:
        return "", default
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UsageError(f"invalid number '{text}'")
    sign = match[1][0] if match[1][0] in "-+" else ""
    return sign, int(match[1].lstrip("-+")) * _SUFFIXES[match[2]]


def _classic_count(arguments: list[str]) -> list[str]:
    """Rewrite the historical form of the options: `head -5` as `head -n 5`, and `tail +5` as `tail -n +5`."""
    if arguments and re.fullmatch(r"-[0-9]+|\+[0-9]+", arguments[0]):
        return [f"-n{arguments[0].removeprefix('-')}", *arguments[1:]]
    return [
        f"-n{argument[1:]}"
        if re.fullmatch(r"-[0-9]+", argument) and arguments[at - 1] not in ("-n", "-c")
        else argument
        for at, argument in enumerate(arguments)
    ]


def _title(source: Input, number: int) -> str:
    name = "standard input" if source.name == "-" else source.name
    return f"{chr(10) if number else ''}==> {name} <==\n"


async def head(process: Process) -> int:
    """Run `head [-n N | -c N] [-qv] [FILE]…`. Standard input is read only until there is enough to print."""
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:qv")
        (sign, count), (octet_sign, octets) = _signed(options, "n", 10), _signed(options, "c", -1)
    except UsageError as error:
        return complain(process, str(error)) if "number" in str(error) else show_usage(process, _HEAD, str(error))
    is_from_end = sign == "-" or octet_sign == "-"
    if not options.operands and not is_from_end:
        inputs, status = [Input("-", await _read_enough(process.stdin, count, octets))], 0
    elif octets >= 0 and not is_from_end:
        inputs, status = await read_inputs(process, options.operands, size=octets)
    else:
        inputs, status = await read_inputs(process, options.operands)
    for number, source in enumerate(inputs):
        if (len(options.operands) > 1 or "v" in options) and "q" not in options:
            process.write(_title(source, number))
        if octets >= 0:
            process.write(source.data[: len(source.data) - octets if octet_sign == "-" else octets])
        else:
            lines = source.data.splitlines(keepends=True)
            process.write(b"".join(lines[: max(0, len(lines) - count) if sign == "-" else count]))
    return status


_HEAD = "[OPTIONS] [FILE]..."


async def _read_enough(pipe: Pipe, lines: int, octets: int) -> bytes:
    data = b""
    while len(data) < octets if octets >= 0 else data.count(b"\n") < lines:
        chunk = await pipe.read()
        if not chunk:
            break
        data += chunk
    return data


async def tail(process: Process) -> int:
    """Run `tail [-n N | -c N] [-fFqv] [-s SECONDS] [FILE]…`.

    With -f the files are read again every second, or at the interval of -s.
    """
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:fFqvs:")
        sign, count = _signed(options, "n", 10)
        octet_sign, octets = _signed(options, "c", -1)
        pause_s = options.seconds("s", 1)
    except UsageError as error:
        return complain(process, str(error)) if "number" in str(error) else show_usage(process, _HEAD, str(error))
    follows = "f" in options or "F" in options
    if octet_sign != "+" and any(_is_endless(process, operand) for operand in options.operands):
        await _exhaust_memory(process)
    inputs, status = await read_inputs(process, options.operands, "can't open '{}': {}", is_open=follows)
    if options.operands and not inputs and "F" not in options:
        return complain(process, "no files")
    for number, source in enumerate(inputs):
        if (len(options.operands) > 1 or "v" in options) and "q" not in options:
            process.write(_title(source, number))
        if octets >= 0:
            process.write(
                source.data[max(0, octets - 1) if octet_sign == "+" else max(0, len(source.data) - octets) :]
            )
        else:
            lines = source.data.splitlines(keepends=True)
            process.write(b"".join(lines[max(0, count - 1) if sign == "+" else max(0, len(lines) - count) :]))
    if follows and (options.operands or not process.stdin.is_closed):
        await _follow(process, options.operands, inputs, pause_s)
    return status


def _is_endless(process: Process, operand: str) -> bool:
    """Return True if `operand` names a device that can be read without end, such as /dev/zero."""
    path = absolute_path(process, operand)
    try:
        file = process.files.file(path)
    except OSError:
        return False
    return isinstance(file, Device) and bool(file.read(1))


async def _exhaust_memory(process: Process) -> None:
    """Allocate memory until none is left, as tail does when it stores a line that never ends."""
    while process.allocated <= process.machine.memory_bytes:
        process.allocate(process.allocated + _GROWTH)
        await process.compute(_GROWTH)  # a byte takes about a nanosecond


async def _follow(process: Process, operands: list[str], inputs: list[Input], pause_s: float) -> None:
    sizes = dict.fromkeys(operands, 0) | {source.name: len(source.data) for source in inputs}
    last = inputs[-1].name if inputs else ""
    while True:
        await process.sleep(pause_s)
        for operand, seen in tuple(sizes.items()):
            path = absolute_path(process, operand)
            if operand == "-" or not process.files.exists(path):
                continue
            file = process.files.file(path)
            data = b"" if isinstance(file, Device) else file.content
            if len(data) > seen:
                if len(sizes) > 1 and last != operand:
                    process.write(f"\n==> {operand} <==\n")
                process.write(data[seen:])
                last = operand
            sizes[operand] = len(data)
