"""Applets that print bytes as numbers: hexdump, hd, od, xxd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnmsim.userland.busybox.applet import complain, read_options, usage_errors
from cnmsim.userland.busybox.text_input import read_inputs
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_ROW = 16


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def _distinct_rows(process: Process, data: bytes, shows_all: bool) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of each row. Unless `shows_all`, write one `*` for rows equal to the row before."""
    last, is_starred = b"", False
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        if row == last and len(row) == _ROW and not shows_all:
            process.write("" if is_starred else "*\n")
            is_starred = True
            continue
        last, is_starred = row, False
        yield at, row


async def hexdump(process: Process) -> int:
    """Run `hexdump [-Cbcdoxv] [-n LENGTH] [-s OFFSET] [FILE]…`. Called as `hd`, it runs `hexdump -C`."""
    options = read_options(
        process, "Cbcdoxvn:s:e:", "[-bcdoxCv] { [-e FMT] [-f FMT_FILE] [-n LEN] [-s OFS] } [FILE]..."
    )
    inputs, status = await read_inputs(process, options.operands)
    start = options.number("s", 0)
    data = b"".join(source.data for source in inputs)[start:][: options.number("n", 2**31 - 1)]
    is_canonical = "C" in options or invoked_name(process) == "hd"
    for at, row in _distinct_rows(process, data, "v" in options):
        if is_canonical:
            halves = " ".join(f"{byte:02x}" for byte in row[:8]), " ".join(f"{byte:02x}" for byte in row[8:])
            process.write(f"{start + at:08x}  {halves[0]:<23}  {halves[1]:<23}  |{_printable(row)}|\n")
        else:
            words = [f"{int.from_bytes(row[n : n + 2], 'little'):04x}" for n in range(0, len(row), 2)]
            process.write(f"{start + at:07x} {' '.join(words):<39}\n")
    if data:
        process.write(f"{start + len(data):08x}\n" if is_canonical else f"{start + len(data):07x}\n")
    return status


_NAMED = {0: "\\0", 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


async def od(process: Process) -> int:
    """Run `od [-A RADIX] [-t TYPE] [-bcdoxv] [-N LENGTH] [-j SKIP] [FILE]…`."""
    synopsis = "[-abcdfhilovxs] [-t TYPE] [-A RADIX] [-N SIZE] [-j SKIP] [-S MINSTR] [-w WIDTH] [FILE]..."
    with usage_errors(process, synopsis):
        options = getopt(process.argv[1:], "abcdfhilovxst:A:N:j:S:w:")
        limit, skip = options.number("N", 2**31 - 1), options.number("j", 0)
    kind = options.get("t") or next(
        (value for letter, value in (("c", "c"), ("x", "x2"), ("b", "o1"), ("d", "u2")) if letter in options), "o2"
    )
    match = re.fullmatch(r"([acdoux])([0-9]*|[CSIL])", kind)
    if match is None:
        return complain(process, f"invalid type string '{kind}'")
    size = {"C": 1, "S": 2, "I": 4, "L": 8, "": 4}.get(match[2]) or int(match[2] or 4)
    size = 1 if match[1] in "ac" else size
    radix = {"d": "{:07d}", "x": "{:06x}", "n": ""}.get((options.get("A") or "o")[:1], "{:07o}")
    inputs, status = await read_inputs(process, options.operands)
    data = b"".join(source.data for source in inputs)[skip:][:limit]
    for at, row in _distinct_rows(process, data, "v" in options):
        items = [_od_item(row[n : n + size], match[1], size) for n in range(0, len(row), size)]
        process.write(f"{radix.format(skip + at)}{''.join(items)}\n")
    if radix:
        process.write(f"{radix.format(skip + len(data))}\n")
    return status


def _od_item(data: bytes, kind: str, size: int) -> str:
    if kind in "ac":
        byte = data[0]
        text = _NAMED.get(byte) or (chr(byte) if 32 <= byte < 127 else f"{byte:03o}")
        return f"{text:>4}"
    number = int.from_bytes(data, "little", signed=kind == "d")
    if kind == "x":
        return f" {number:0{2 * size}x}"
    if kind == "o":
        return f" {number:0{ {1: 3, 2: 6, 4: 11, 8: 22}[size] }o}"
    width = {1: 4, 2: 6, 4: 11, 8: 21}[size] if kind == "d" else {1: 3, 2: 5, 4: 10, 8: 20}[size]
    return f" {number:{width}d}"


async def xxd(process: Process) -> int:
    """Run `xxd [-pri] [-l LENGTH] [-s OFFSET] [-c COLUMNS] [-g BYTES] [FILE]`."""
    options = read_options(process, "prial:s:c:g:", "[-pri] [-g N] [-c N] [-l LEN] [-s OFS] [-o OFS] [FILE]")
    inputs, status = await read_inputs(process, options.operands[:1])
    data = b"".join(source.data for source in inputs)
    if "r" in options:
        text = data.decode(errors="replace")
        if "p" not in options:
            text = "".join(re.sub(r"^[0-9a-fA-F]+: ", "", line)[:40] for line in text.splitlines())
        process.write(bytes.fromhex("".join(re.findall(r"[0-9a-fA-F]{2}", text))))
        return status
    start = options.number("s", 0)
    data = data[start:][: options.number("l", 2**31 - 1)]
    if "p" in options:
        process.write("".join(f"{data[at : at + 30].hex()}\n" for at in range(0, len(data), 30)))
        return status
    columns, group = options.number("c", _ROW, low=1), options.number("g", 2, low=1)
    for at in range(0, len(data), columns):
        row = data[at : at + columns]
        words = " ".join(row[n : n + group].hex() for n in range(0, len(row), group))
        width = 2 * columns + columns // group
        process.write(f"{start + at:08x}: {words:<{width}} {_printable(row)}\n")
    return status
