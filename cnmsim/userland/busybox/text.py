"""Applets that print or change text: cat, cut, seq, tee, tr, wc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, read_options, show_usage, usage_errors
from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def cat(process: Process) -> int:
    """Run `cat [-nbvetA] [FILE]…`. Input from stdin is printed as it arrives."""
    options = read_options(process, "nbvteAu", "[-nbvteA] [FILE]...")
    status = 0
    rewrite = _Rewriting(options)
    for operand in options.operands or ["-"]:
        if operand in ("-", "/dev/stdin"):
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
    """Rewrites the output of `cat` as its options require.

    -n and -b number the lines; -v, -e, -t and -A make control characters visible.
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


async def wc(process: Process) -> int:
    """Run `wc [-lwcmL] [FILE]…`: count lines, words and bytes."""
    options = read_options(process, "clwmL", "[-cmlwL] [FILE]...")
    inputs, status = await read_inputs(process, options.operands)
    columns = [letter for letter in "lwmcL" if letter in options] or ["l", "w", "c"]
    totals = [0] * len(columns)
    for source in inputs:
        data = source.data
        longest = max(map(len, data.split(b"\n")), default=0)
        # The locale of containers is C, in which characters are bytes.
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "m": len(data), "c": len(data), "L": longest}
        row = [counts[letter] for letter in columns]
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        process.write(_wc_line(row, "" if source.name == "-" and not options.operands else source.name))
    if len(options.operands) > 1:
        process.write(_wc_line(totals, "total"))
    return status


def _wc_line(row: list[int], name: str) -> str:
    text = str(row[0]) if len(row) == 1 else " ".join(f"{value:9d}" for value in row)
    return f"{text} {name}".rstrip() + "\n"


def _ranges(text: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not is_number(low or high) or not is_number(high or low):
            raise UsageError(f"invalid range '{part}'")
        ranges.append((int(low or 1), int(high) if high else 2**31 if dash else int(low)))
    return ranges


async def cut(process: Process) -> int:
    """Run `cut -f LIST [-d C] [-s] | -c LIST [FILE]…`: print parts of each line."""
    synopsis = "{-b|c LIST | -f LIST [-d SEP] [-s]} [-D] [-O SEP] [FILE]..."
    with usage_errors(process, synopsis):
        options = getopt(process.argv[1:], "b:c:f:d:s")
        chosen = options.get("f") or options.get("c") or options.get("b")
        if chosen is None:
            return show_usage(process, synopsis, "expected a list of bytes, characters, or fields")
        ranges = _ranges(chosen)
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
    """Run `tr [-ds] SET1 [SET2]`: replace or delete characters."""
    options = read_options(process, "cds", "[-cds] STRING1 [STRING2]", needs_operand=True)
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
    """Run `tee [-a] [FILE]…`: copy standard input to standard output and to files."""
    options = read_options(process, "ai", "[-ai] [FILE]...")
    paths: list[str] = []
    status = 0
    for operand in options.operands:
        path = absolute_path(process, operand)
        try:
            if path in _STREAMS:
                pass
            elif "a" in options:
                process.files.append(path, b"")
            else:
                process.files.write(path, b"")
            paths.append(path)
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
    while chunk := await process.stdin.read():
        process.write(chunk)
        for path in list(paths):
            try:
                if path in _STREAMS:
                    (process.error if path.endswith("err") else process.write)(chunk)
                else:
                    process.files.append(path, chunk)
            except OSError:
                status = complain(process, f"{path}: I/O error")
                paths.remove(path)
    return status


_STREAMS = ("/dev/stdout", "/dev/stderr")


_SEQ = "[-w] [-s SEP] [FIRST [INC]] LAST"


async def seq(process: Process) -> int:
    """Run `seq [-w] [-s SEPARATOR] [FIRST [STEP]] LAST`: print a sequence of numbers."""
    arguments = process.argv[1:]
    at = next((n for n, word in enumerate(arguments) if re.fullmatch(r"-?\.?[0-9].*", word)), len(arguments))
    options = read_options(process, "ws:", _SEQ, arguments=arguments[:at])
    words = [*options.operands, *arguments[at:]]
    if not 1 <= len(words) <= 3 or not all(re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)", word) for word in words):
        return show_usage(process, _SEQ)
    places = max(len(word.partition(".")[2]) for word in words)
    scale = 10**places
    numbers = [round(float(word) * scale) for word in words]
    first = numbers[0] if len(numbers) > 1 else scale
    step = numbers[1] if len(numbers) == 3 else scale
    if not step:
        return show_usage(process, _SEQ)
    values = range(first, numbers[-1] + (1 if step > 0 else -1), step)
    texts = [f"{value / scale:.{places}f}" if places else str(value) for value in values]
    width = max(map(len, texts), default=0) if "w" in options else 0
    texts = [text.zfill(width) for text in texts]
    separator = options.get("s", "\n") or ""
    process.write(f"{separator.join(texts)}\n" if texts else "")
    return 0
