"""Applets for text: cat, cut, expr, head, seq, sort, tail, tee, tr, uniq, wc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.busybox.text_input import Input, lines_of, print_lines, read_inputs
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def cat(process: Process) -> int:
    """Run `cat [-nbvetA] [FILE]…`. Input from stdin is printed as it arrives."""
    options = read_options(process, "nbvteAu", "[-nbvteA] [FILE]...")
    if options is None:
        return 1
    status = 0
    rewrite = _Rewriting(options)
    for operand in options.operands or ["-"]:
        if operand == "-":
            while chunk := await process.stdin.read():
                process.write(rewrite(chunk))
            continue
        try:
            process.write(rewrite(process.files.read(absolute_path(process, operand))))
        except IsADirectoryError as error:
            status = complain(process, f"read error: {strerror(error)}")
        except OSError as error:
            status = complain(process, f"can't open '{operand}': {strerror(error)}")
    return status


class _Rewriting:
    """Rewrites the output of `cat` for its options.

    Line numbers (-n, -b), visible control characters (-v, -e, -t, -A).
    """

    def __init__(self, options: Options) -> None:
        letters = set(options.values)
        self._shows_tabs, self._shows_ends = bool(letters & {"t", "A"}), bool(letters & {"e", "A"})
        self._shows_all = bool(letters & {"v", "e", "t", "A"})
        self._numbers, self._skips_blank = bool(letters & {"n", "b"}), "b" in letters
        self._number = 0
        self._is_at_start = True

    def __call__(self, data: bytes) -> bytes:
        if not (self._shows_all or self._numbers):
            return data
        return b"".join(self._line(line) for line in re.findall(rb"[^\n]*\n|[^\n]+", data))

    def _line(self, line: bytes) -> bytes:
        body, end = (line[:-1], b"\n") if line.endswith(b"\n") else (line, b"")
        head = b""
        if self._numbers and self._is_at_start and (body or not self._skips_blank):
            self._number += 1
            head = f"{self._number:6d}\t".encode()
        self._is_at_start = bool(end)
        if self._shows_all:
            body = b"".join(self._shown(byte) for byte in body)
        return head + body + (b"$" if end and self._shows_ends else b"") + end

    def _shown(self, byte: int) -> bytes:
        if byte >= 0x80:
            return b"M-" + self._shown(byte - 0x80)
        if byte == 9 and not self._shows_tabs:
            return b"\t"
        if byte < 0x20 or byte == 0x7F:
            return b"^" + bytes((byte ^ 0x40,))
        return bytes((byte,))


def _count(options: Options, default: int) -> int:
    text = options.get("n")
    if text is None:
        return default
    if not text.lstrip("+-").isdigit():
        raise UsageError(f"invalid number '{text}'")
    return int(text.lstrip("+-"))


def _classic_count(arguments: list[str]) -> list[str]:
    """Rewrite the historical form `head -5` as `head -n 5`."""
    return [f"-n{argument[1:]}" if re.fullmatch(r"-\d+", argument) else argument for argument in arguments]


async def head(process: Process) -> int:
    """Run `head [-n N | -c N] [FILE]…`. Reads no more of stdin than it needs."""
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:")
        count = _count(options, 10)
        octets = options.number("c", -1, low=-1)
    except UsageError as error:
        return show_usage(process, "[OPTIONS] [FILE]...", str(error))
    if options.operands:
        inputs, status = await read_inputs(process, options.operands)
    else:
        inputs, status = [Input("-", await _read_enough(process.stdin, count, octets))], 0
    for number, source in enumerate(inputs):
        if len(inputs) > 1:
            process.write(f"{chr(10) if number else ''}==> {source.name} <==\n")
        if octets >= 0:
            process.write(source.data[:octets])
        else:
            process.write(b"".join(source.data.splitlines(keepends=True)[:count]))
    return status


async def _read_enough(pipe: Pipe, lines: int, octets: int) -> bytes:
    data = b""
    while len(data) < octets if octets >= 0 else data.count(b"\n") < lines:
        chunk = await pipe.read()
        if not chunk:
            break
        data += chunk
    return data


async def tail(process: Process) -> int:
    """Run `tail [-n N | -c N] [-f] [FILE]…`. With -f the file is read again every second."""
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:fFs:")
        count = _count(options, 10)
    except UsageError as error:
        return show_usage(process, "[OPTIONS] [FILE]...", str(error))
    inputs, status = await read_inputs(process, options.operands, "can't open '{}': {}")
    from_start = (options.get("n") or "").startswith("+")
    for number, source in enumerate(inputs):
        if len(inputs) > 1:
            process.write(f"{chr(10) if number else ''}==> {source.name} <==\n")
        if "c" in options:
            process.write(source.data[-options.number("c", 0) :])
            continue
        lines = source.data.splitlines(keepends=True)
        process.write(b"".join(lines[max(0, count - 1) :] if from_start else lines[-count:] if count else []))
    if ("f" in options or "F" in options) and options.operands and inputs:
        path, seen = absolute_path(process, options.operands[-1]), len(inputs[-1].data)
        while True:
            await process.sleep(1)
            data = process.files.read(path) if process.files.exists(path) else b""
            if len(data) > seen:
                process.write(data[seen:])
            seen = len(data)
    return status


async def wc(process: Process) -> int:
    """Run `wc [-lwc] [FILE]…`."""
    options = read_options(process, "clw", "[-cmlwL] [FILE]...")
    if options is None:
        return 1
    inputs, status = await read_inputs(process, options.operands)
    columns = [letter for letter in "lwc" if letter in options] or ["l", "w", "c"]
    totals = [0] * len(columns)
    for source in inputs:
        data = source.data
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
        row = [counts[letter] for letter in columns]
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        process.write(_wc_line(row, "" if source.name == "-" and not options.operands else source.name))
    if len(inputs) > 1:
        process.write(_wc_line(totals, "total"))
    return status


def _wc_line(row: list[int], name: str) -> str:
    text = str(row[0]) if len(row) == 1 else " ".join(f"{value:9d}" for value in row)
    return f"{text} {name}".rstrip() + "\n"


async def sort(process: Process) -> int:
    """Run `sort [-nru] [-k N] [-t C] [FILE]…`."""
    options = read_options(
        process,
        "nrufbk:t:Vs",
        "[-nrughMcszbdfiokt] [-o FILE] [-k START[.OFS][OPTS][,END[.OFS][OPTS]] [-t CHAR] [FILE]...",
    )
    if options is None:
        return 2
    inputs, status = await read_inputs(process, options.operands)
    lines = [line for source in inputs for line in lines_of(source.data)]
    spec = options.get("k")
    field = int(re.match(r"\d*", spec)[0] or 1) if spec else 0  # type: ignore[index]
    separator = options.get("t")
    numeric = "n" in options or bool(spec and "n" in spec) or "V" in options

    def key(line: str) -> tuple[float, str]:
        text = line
        if field:
            parts = line.split(separator) if separator else line.split()
            text = parts[field - 1] if field <= len(parts) else ""
        number = re.match(r"\s*(-?\d+(?:\.\d+)?)", text)
        return (float(number[1]) if number and numeric else 0.0), (line if numeric else text)

    lines.sort(key=key, reverse="r" in options or bool(spec and "r" in spec))
    if "u" in options:
        lines = list(dict.fromkeys(lines))
    print_lines(process, lines)
    return status


async def uniq(process: Process) -> int:
    """Run `uniq [-cdu] [FILE]`."""
    options = read_options(process, "cdu", "[-cduiz] [-f,s,w N] [FILE [OUTFILE]]")
    if options is None:
        return 1
    inputs, status = await read_inputs(process, options.operands[:1])
    groups: list[tuple[int, str]] = []
    for line in [line for source in inputs for line in lines_of(source.data)]:
        if groups and groups[-1][1] == line:
            groups[-1] = (groups[-1][0] + 1, line)
        else:
            groups.append((1, line))
    for count, line in groups:
        if ("d" in options and count < 2) or ("u" in options and count > 1):
            continue
        print_lines(process, [f"{count:7d} {line}" if "c" in options else line])
    return status


def _ranges(text: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not (low or high).isdigit():
            raise UsageError(f"invalid range '{part}'")
        ranges.append((int(low or 1), int(high) if high else 2**31 if dash else int(low)))
    return ranges


async def cut(process: Process) -> int:
    """Run `cut -f LIST [-d C] [-s] | -c LIST [FILE]…`."""
    synopsis = "{-b|c LIST | -f LIST [-d SEP] [-s]} [-D] [-O SEP] [FILE]..."
    try:
        options = getopt(process.argv[1:], "b:c:f:d:s")
        chosen = options.get("f") or options.get("c") or options.get("b")
        if chosen is None:
            return show_usage(process, synopsis, "expected a list of bytes, characters, or fields")
        ranges = _ranges(chosen)
    except UsageError as error:
        return show_usage(process, synopsis, str(error))
    inputs, status = await read_inputs(process, options.operands)
    separator = options.get("d", "\t") or "\t"
    for line in [line for source in inputs for line in lines_of(source.data)]:
        if "f" not in options:
            print_lines(process, ["".join(c for at, c in enumerate(line, 1) if _within(at, ranges))])
            continue
        parts = line.split(separator)
        if len(parts) > 1:
            print_lines(process, [separator.join(part for at, part in enumerate(parts, 1) if _within(at, ranges))])
        elif "s" not in options:
            print_lines(process, [line])
    return status


def _within(number: int, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= number <= high for low, high in ranges)


def _character_set(text: str) -> str:
    for name, members in (("[:upper:]", "A-Z"), ("[:lower:]", "a-z"), ("[:digit:]", "0-9"), ("[:space:]", " \t\n\r")):
        text = text.replace(name, members)
    text = unescape(text)
    return re.sub(r"(.)-(.)", lambda match: "".join(map(chr, range(ord(match[1]), ord(match[2]) + 1))), text)


async def tr(process: Process) -> int:
    """Run `tr [-ds] SET1 [SET2]`."""
    options = read_options(process, "cds", "[-cds] STRING1 [STRING2]")
    if options is None or not options.operands:
        return 1 if options is None else show_usage(process, "[-cds] STRING1 [STRING2]")
    text = (await read_all(process.stdin)).decode(errors="surrogateescape")
    first = _character_set(options.operands[0])
    second = _character_set(options.operands[1]) if len(options.operands) > 1 else ""
    if "c" in options:
        first = "".join(sorted({c for c in text if c not in first}))
    if "d" in options:
        text = text.translate({ord(c): None for c in first})
    elif second:
        text = text.translate({ord(c): second[min(at, len(second) - 1)] for at, c in enumerate(first)})
    if "s" in options:
        text = re.sub(f"([{re.escape(second or first)}])\\1+", r"\1", text)
    process.write(text.encode(errors="surrogateescape"))
    return 0


async def tee(process: Process) -> int:
    """Run `tee [-a] [FILE]…`."""
    options = read_options(process, "ai", "[-ai] [FILE]...")
    if options is None:
        return 1
    paths = [absolute_path(process, operand) for operand in options.operands]
    status = 0
    for path, operand in list(zip(paths, options.operands, strict=True)):
        try:
            if "a" in options:
                process.files.append(path, b"")
            else:
                process.files.write(path, b"")
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
            paths.remove(path)
    while chunk := await process.stdin.read():
        process.write(chunk)
        for path in list(paths):
            try:
                process.files.append(path, chunk)
            except OSError:
                status = complain(process, f"{path}: I/O error")
                paths.remove(path)
    return status


async def seq(process: Process) -> int:
    """Run `seq [FIRST [STEP]] LAST`."""
    try:
        numbers = [int(text) for text in process.argv[1:]]
    except ValueError:
        return complain(process, "invalid number")
    if not 1 <= len(numbers) <= 3:
        return show_usage(process, "[-w] [-s SEP] [FIRST [INC]] LAST")
    first = numbers[0] if len(numbers) > 1 else 1
    step = numbers[1] if len(numbers) == 3 else 1
    if step:
        print_lines(process, [str(value) for value in range(first, numbers[-1] + (1 if step > 0 else -1), step)])
    return 0


async def expr(process: Process) -> int:
    """Run `expr A OP B …`: integer arithmetic and comparisons with C's precedence."""
    from cnmsim.userland.sh.arithmetic import ShellArithmeticError, evaluate

    words = process.argv[1:]
    if not words:
        return show_usage(process, "EXPRESSION")
    try:
        value = str(evaluate(" ".join("==" if word == "=" else word for word in words), {}))
    except ShellArithmeticError as error:
        complain(process, "syntax error" if "divide" not in str(error) else "division by zero")
        return 2
    process.write(f"{value}\n")
    return int(value == "0")
