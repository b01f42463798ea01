"""The small programs about text: cat, cut, echo, expr, grep, head, printf, sed, seq, sort, tail, tee, tr, uniq, wc.

`sed` knows `s`, `p`, `d`, `q` and addresses; `printf` the conversions of strings, characters and integers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.files import Pipe
from cnmsim.userland.applet import complain, path_of, show_usage
from cnmsim.userland.errno_text import strerror
from cnmsim.userland.options import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|0?[0-7]{1,3}|.)", re.DOTALL)


class FormatError(Exception):
    """printf cannot make sense of its format or an argument."""


def unescape(text: str) -> str:
    """Give the characters that backslash sequences stand for; unknown ones stay as they are."""

    def replace(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8) & 255)
        return _ESCAPES.get(code, found[0])

    return _ESCAPE.sub(replace, text)


def echo_text(arguments: list[str]) -> str:
    """Give what `echo ARGUMENT…` prints; options -n, -e and -E in front count."""
    ends_line, escapes = True, False
    at = 0
    while at < len(arguments) and re.fullmatch(r"-[neE]+", arguments[at]):
        for letter in arguments[at][1:]:
            ends_line = ends_line and letter != "n"
            escapes = letter == "e" if letter in "eE" else escapes
        at += 1
    text = " ".join(arguments[at:])
    if escapes:
        text, stop, _ = text.partition("\\c")
        return unescape(text) + ("\n" if ends_line and not stop else "")
    return text + ("\n" if ends_line else "")


_CONVERSION = re.compile(r"%([-+ 0#]*)(\*|\d+)?(?:\.(\d+))?([sdiuoxXcbqeEfgG%])")


def format_printf(template: str, arguments: list[str]) -> str:
    """Give what `printf TEMPLATE ARGUMENT…` prints; the template is used again while arguments are left.

    Raises `FormatError` if an argument is no number where one is wanted.
    """
    template = unescape(template)
    remaining = list(arguments)

    def take() -> str:
        return remaining.pop(0) if remaining else ""

    def replace(found: re.Match[str]) -> str:
        flags, width, precision, kind = found.groups()
        if kind == "%":
            return "%"
        if width == "*":
            width = take()
        spec = f"%{flags}{width or ''}{'.' + precision if precision else ''}"
        argument = take()
        if kind in "sbq":
            return (spec + "s") % (unescape(argument) if kind == "b" else argument)
        if kind == "c":
            return (spec + "s") % argument[:1]
        try:
            if kind in "eEfgG":
                return (spec + kind) % float(argument or 0)
            value = ord(argument[1]) if argument[:1] in ("'", '"') and len(argument) > 1 else int(argument or "0", 0)
        except ValueError:
            raise FormatError(f"invalid number '{argument}'") from None
        return (spec + ("d" if kind in "iu" else kind)) % value

    text = _CONVERSION.sub(replace, template)
    while remaining:
        before = len(remaining)
        text += _CONVERSION.sub(replace, template)
        if len(remaining) == before:
            break
    return text


async def echo(process: Process) -> int:
    """Run `echo [-neE] TEXT…`."""
    process.write(echo_text(process.argv[1:]).encode(errors="surrogateescape"))
    return 0


async def printf(process: Process) -> int:
    """Run `printf FORMAT [ARGUMENT]…`."""
    if len(process.argv) < 2:
        return show_usage(process, "FORMAT [ARG]...")
    try:
        process.write(format_printf(process.argv[1], process.argv[2:]))
    except FormatError as error:
        return complain(process, str(error))
    return 0


async def read_all(pipe: Pipe) -> bytes:
    """Read to the end of a pipe."""
    chunks: list[bytes] = []
    while chunk := await pipe.read():
        chunks.append(chunk)
    return b"".join(chunks)


@frozen
class _Input:
    name: str
    data: bytes


async def _inputs(process: Process, operands: list[str], message: str = "{}: {}") -> tuple[list[_Input], int]:
    found: list[_Input] = []
    status = 0
    for operand in operands or ["-"]:
        if operand == "-":
            found.append(_Input("-", await read_all(process.stdin)))
            continue
        try:
            found.append(_Input(operand, process.files.read(path_of(process, operand))))
        except OSError as error:
            status = complain(process, message.format(operand, strerror(error)))
    return found, status


def _options(process: Process, short: str, synopsis: str, long: tuple[str, ...] = ()) -> Options | None:
    try:
        return getopt(process.argv[1:], short, long)
    except UsageError as error:
        show_usage(process, synopsis, str(error))
        return None


def _lines(data: bytes) -> list[str]:
    text = data.decode(errors="surrogateescape")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _print_lines(process: Process, lines: list[str]) -> None:
    process.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))


async def cat(process: Process) -> int:
    """Run `cat [FILE]…`: what stdin brings is passed on as it comes."""
    options = _options(process, "nbvteAsu", "[-nbvteA] [FILE]...")
    if options is None:
        return 1
    status = 0
    number = 0
    for operand in options.operands or ["-"]:
        if operand == "-":
            while chunk := await process.stdin.read():
                process.write(chunk)
            continue
        try:
            data = process.files.read(path_of(process, operand))
        except IsADirectoryError as error:
            status = complain(process, f"read error: {strerror(error)}")
            continue
        except OSError as error:
            status = complain(process, f"can't open '{operand}': {strerror(error)}")
            continue
        if "n" in options:
            for line in _lines(data):
                number += 1
                process.write(f"{number:6d}\t{line}\n")
        else:
            process.write(data)
    return status


def _count(options: Options, default: int) -> int:
    text = options.get("n")
    if text is None:
        return default
    if not text.lstrip("+-").isdigit():
        raise UsageError(f"invalid number '{text}'")
    return int(text.lstrip("+-"))


def _classic_count(arguments: list[str]) -> list[str]:
    """Turn `head -5` into `head -n 5`."""
    return [f"-n{argument[1:]}" if re.fullmatch(r"-\d+", argument) else argument for argument in arguments]


async def head(process: Process) -> int:
    """Run `head [-n N | -c N] [FILE]…`; of stdin it reads no more than it needs."""
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:qv")
        count = _count(options, 10)
        octets = options.number("c", -1, low=-1)
    except UsageError as error:
        return show_usage(process, "[OPTIONS] [FILE]...", str(error))
    if options.operands:
        inputs, status = await _inputs(process, options.operands)
    else:
        inputs, status = [_Input("-", await _some(process.stdin, count, octets))], 0
    for number, source in enumerate(inputs):
        if len(inputs) > 1:
            process.write(f"{chr(10) if number else ''}==> {source.name} <==\n")
        if octets >= 0:
            process.write(source.data[:octets])
        else:
            process.write(b"".join(source.data.splitlines(keepends=True)[:count]))
    return status


async def _some(pipe: Pipe, lines: int, octets: int) -> bytes:
    data = b""
    while len(data) < octets if octets >= 0 else data.count(b"\n") < lines:
        chunk = await pipe.read()
        if not chunk:
            break
        data += chunk
    return data


async def tail(process: Process) -> int:
    """Run `tail [-n N | -c N] [-f] [FILE]…`; with -f it looks at the file once a second."""
    try:
        options = getopt(_classic_count(process.argv[1:]), "n:c:fFqvs:")
        count = _count(options, 10)
    except UsageError as error:
        return show_usage(process, "[OPTIONS] [FILE]...", str(error))
    inputs, status = await _inputs(process, options.operands, "can't open '{}': {}")
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
        path, seen = path_of(process, options.operands[-1]), len(inputs[-1].data)
        while True:
            await process.sleep(1)
            data = process.files.read(path) if process.files.exists(path) else b""
            if len(data) > seen:
                process.write(data[seen:])
            seen = len(data)
    return status


async def wc(process: Process) -> int:
    """Run `wc [-lwc] [FILE]…`."""
    options = _options(process, "clwL", "[-cmlwL] [FILE]...")
    if options is None:
        return 1
    inputs, status = await _inputs(process, options.operands)
    wanted = [letter for letter in "lwc" if letter in options] or ["l", "w", "c"]
    totals = [0] * len(wanted)
    for source in inputs:
        data = source.data
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
        row = [counts[letter] for letter in wanted]
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        process.write(_wc_line(row, "" if source.name == "-" and not options.operands else source.name))
    if len(inputs) > 1:
        process.write(_wc_line(totals, "total"))
    return status


def _wc_line(row: list[int], name: str) -> str:
    text = str(row[0]) if len(row) == 1 else " ".join(f"{value:9d}" for value in row)
    return f"{text} {name}".rstrip() + "\n"


async def grep(process: Process) -> int:
    """Run `grep [-ivcnqoEFwxlhH] [-m N] [-e PATTERN] PATTERN [FILE]…`."""
    synopsis = "[-HhnlLoqvsrRiwFE] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."
    options = _options(process, "ivcnqoEFwxlhHsm:e:A:B:C:r", synopsis)
    if options is None:
        return 2
    operands = list(options.operands)
    patterns = options.every("e")
    if not patterns:
        if not operands:
            show_usage(process, synopsis)
            return 2
        patterns = [operands.pop(0)]
    try:
        pattern = _grep_pattern(patterns, options)
    except re.error:
        complain(process, f"bad regex '{patterns[0]}': Invalid regexp")
        return 2
    inputs, status = await _inputs(process, operands)
    found = False
    with_name = (len(operands) > 1 or "H" in options) and "h" not in options
    for source in inputs:
        matching: list[tuple[int, str]] = []
        for number, line in enumerate(_lines(source.data), 1):
            if (pattern.search(line) is not None) != ("v" in options):
                matching.append((number, line))
        matching = matching[: options.number("m", len(matching))]
        found = found or bool(matching)
        if "q" in options:
            continue
        prefix = f"{source.name}:" if with_name else ""
        if "c" in options:
            process.write(f"{prefix}{len(matching)}\n")
        elif "l" in options:
            process.write(f"{source.name}\n" if matching else "")
        else:
            for number, line in matching:
                shown = [hit[0] for hit in pattern.finditer(line) if hit[0]] if "o" in options else [line]
                label = f"{prefix}{number}:" if "n" in options else prefix
                _print_lines(process, [f"{label}{text}" for text in shown])
    return 0 if found else (2 if status else 1)


def _grep_pattern(patterns: list[str], options: Options) -> re.Pattern[str]:
    alternatives: list[str] = []
    for text in [line for pattern in patterns for line in pattern.split("\n")]:
        source = re.escape(text) if "F" in options else to_python_regex(text, is_extended="E" in options)
        if "x" in options:
            source = f"^(?:{source})$"
        elif "w" in options:
            source = rf"(?<!\w)(?:{source})(?!\w)"
        alternatives.append(f"(?:{source})")
    return re.compile("|".join(alternatives), re.IGNORECASE if "i" in options else 0)


_CLASSES = {
    "[:digit:]": "0-9", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s", "[:upper:]": "A-Z",
    "[:lower:]": "a-z", "[:xdigit:]": "0-9a-fA-F", "[:blank:]": r" \t", "[:punct:]": r"!-/:-@\[-`{-~",
}  # fmt: skip


def to_python_regex(pattern: str, *, is_extended: bool) -> str:
    """Translate a POSIX basic or extended regular expression to Python's syntax."""
    for name, members in _CLASSES.items():
        pattern = pattern.replace(name, members)
    if is_extended:
        return pattern
    out: list[str] = []
    at = 0
    in_set = False
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if in_set:
            in_set = c != "]"
            out.append("\\\\" if c == "\\" else c)
        elif c == "[":
            end = 2 if pattern[at : at + 2] == "^]" else 1 if pattern[at : at + 1] in ("^", "]") else 0
            out.append("[" + pattern[at : at + end].replace("]", r"\]"))
            at += end
            in_set = True
        elif c == "\\" and at < len(pattern):
            following = pattern[at]
            at += 1
            out.append(following if following in "(){}|+?" else "\\" + following)
        elif c in "(){}|+?" or (c == "*" and not out):
            out.append("\\" + c)
        else:
            out.append(c)
    return "".join(out)


async def sort(process: Process) -> int:
    """Run `sort [-nru] [-k N] [-t C] [FILE]…`."""
    options = _options(
        process,
        "nrufbk:t:Vhs",
        "[-nrughMcszbdfiokt] [-o FILE] [-k START[.OFS][OPTS][,END[.OFS][OPTS]] [-t CHAR] [FILE]...",
    )
    if options is None:
        return 2
    inputs, status = await _inputs(process, options.operands)
    lines = [line for source in inputs for line in _lines(source.data)]
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
    _print_lines(process, lines)
    return status


async def uniq(process: Process) -> int:
    """Run `uniq [-cdu] [FILE]`."""
    options = _options(process, "cdui", "[-cduiz] [-f,s,w N] [FILE [OUTFILE]]")
    if options is None:
        return 1
    inputs, status = await _inputs(process, options.operands[:1])
    groups: list[tuple[int, str]] = []
    for line in [line for source in inputs for line in _lines(source.data)]:
        if groups and groups[-1][1] == line:
            groups[-1] = (groups[-1][0] + 1, line)
        else:
            groups.append((1, line))
    for count, line in groups:
        if ("d" in options and count < 2) or ("u" in options and count > 1):
            continue
        _print_lines(process, [f"{count:7d} {line}" if "c" in options else line])
    return status


def _ranges(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not (low or high).isdigit():
            raise UsageError(f"invalid range '{part}'")
        found.append((int(low or 1), int(high) if high else 2**31 if dash else int(low)))
    return found


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
    inputs, status = await _inputs(process, options.operands)
    separator = options.get("d", "\t") or "\t"
    for line in [line for source in inputs for line in _lines(source.data)]:
        if "f" not in options:
            _print_lines(process, ["".join(c for at, c in enumerate(line, 1) if _within(at, ranges))])
            continue
        parts = line.split(separator)
        if len(parts) > 1:
            _print_lines(process, [separator.join(part for at, part in enumerate(parts, 1) if _within(at, ranges))])
        elif "s" not in options:
            _print_lines(process, [line])
    return status


def _within(number: int, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= number <= high for low, high in ranges)


def _character_set(text: str) -> str:
    for name, members in (("[:upper:]", "A-Z"), ("[:lower:]", "a-z"), ("[:digit:]", "0-9"), ("[:space:]", " \t\n\r")):
        text = text.replace(name, members)
    text = unescape(text)
    return re.sub(r"(.)-(.)", lambda found: "".join(map(chr, range(ord(found[1]), ord(found[2]) + 1))), text)


async def tr(process: Process) -> int:
    """Run `tr [-ds] SET1 [SET2]`."""
    options = _options(process, "cds", "[-cds] STRING1 [STRING2]")
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
    options = _options(process, "ai", "[-ai] [FILE]...")
    if options is None:
        return 1
    paths = [path_of(process, operand) for operand in options.operands]
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
        _print_lines(process, [str(value) for value in range(first, numbers[-1] + (1 if step > 0 else -1), step)])
    return 0


async def expr(process: Process) -> int:
    """Run `expr A OP B …`, integers and comparisons, left to right by C's precedence."""
    from cnmsim.userland.sh.arithmetic import ArithmeticFault, evaluate

    words = process.argv[1:]
    if not words:
        return show_usage(process, "EXPRESSION")
    try:
        value = str(evaluate(" ".join("==" if word == "=" else word for word in words), {}))
    except ArithmeticFault as fault:
        complain(process, "syntax error" if "divide" not in str(fault) else "division by zero")
        return 2
    process.write(f"{value}\n")
    return int(value == "0")


_SED = re.compile(
    r"\s*(?:(?P<first>\d+|\$|/(?:[^/\\]|\\.)*/)(?:,(?P<last>\d+|\$|/(?:[^/\\]|\\.)*/))?)?\s*(?P<not>!)?\s*(?P<command>[spdq=])"
)


@frozen
class _Edit:
    first: str
    last: str
    is_negated: bool
    command: str
    pattern: re.Pattern[str] | None = None
    replacement: str = ""
    flags: str = ""


def _sed_program(text: str, *, is_extended: bool) -> list[_Edit]:
    edits: list[_Edit] = []
    at = 0
    while at < len(text):
        if text[at] in "; \n\t":
            at += 1
            continue
        found = _SED.match(text, at)
        if found is None:
            raise UsageError(f"unsupported command {text[at]}")
        at = found.end()
        first, last = found["first"] or "", found["last"] or ""
        if found["command"] != "s":
            edits.append(_Edit(first, last, bool(found["not"]), found["command"]))
            continue
        delimiter = re.escape(text[at : at + 1])
        parts = re.compile(
            rf"{delimiter}((?:\\.|(?!{delimiter}).)*){delimiter}((?:\\.|(?!{delimiter}).)*){delimiter}([gpiI0-9]*)",
            re.DOTALL,
        )
        pieces = parts.match(text, at)
        if not delimiter or pieces is None:
            raise UsageError("unterminated s command")
        at = pieces.end()
        source = pieces[1].replace("\\" + text[pieces.start()], text[pieces.start()])
        flags = re.IGNORECASE if "i" in pieces[3].lower() else 0
        pattern = re.compile(to_python_regex(source, is_extended=is_extended), flags)
        replacement = re.sub(r"(?<!\\)&", r"\\g<0>", pieces[2]).replace("\\&", "&").replace("\\/", "/")
        edits.append(_Edit(first, last, bool(found["not"]), "s", pattern, replacement, pieces[3]))
    return edits


async def sed(process: Process) -> int:
    """Run `sed [-nrE] [-e SCRIPT] SCRIPT [FILE]…`."""
    synopsis = "[-i[SFX]] [-nrE] [-f FILE]... [-e CMD]... [FILE]..."
    try:
        options = getopt(process.argv[1:], "nrEe:")
        operands = list(options.operands)
        scripts = options.every("e") or ([operands.pop(0)] if operands else [])
        if not scripts:
            return show_usage(process, synopsis)
        edits = _sed_program("\n".join(scripts), is_extended="E" in options or "r" in options)
    except (UsageError, re.error) as error:
        return complain(process, str(error))
    inputs, status = await _inputs(process, operands)
    lines = [line for source in inputs for line in _lines(source.data)]
    is_open = [False] * len(edits)
    for number, original in enumerate(lines, 1):
        line: str | None = original
        for at, edit in enumerate(edits):
            if line is None:
                break
            chosen, is_open[at] = _sed_selects(edit, line, number, len(lines), is_open[at])
            if chosen == edit.is_negated:
                continue
            if edit.command == "s" and edit.pattern is not None:
                changed, count = edit.pattern.subn(edit.replacement, line, 0 if "g" in edit.flags else 1)
                line = changed
                if count and "p" in edit.flags:
                    _print_lines(process, [line])
            elif edit.command == "p":
                _print_lines(process, [line])
            elif edit.command == "=":
                process.write(f"{number}\n")
            elif edit.command == "d":
                line = None
            else:
                if "n" not in options:
                    _print_lines(process, [line])
                return status
        if line is not None and "n" not in options:
            _print_lines(process, [line])
    return status


def _sed_selects(edit: _Edit, line: str, number: int, total: int, is_open: bool) -> tuple[bool, bool]:
    def hits(address: str) -> bool:
        if address == "$":
            return number == total
        if address.isdigit():
            return number == int(address)
        return re.search(to_python_regex(address[1:-1], is_extended=False), line) is not None

    if not edit.first:
        return True, False
    if not edit.last:
        return hits(edit.first), False
    if is_open:
        return True, not hits(edit.last)
    if hits(edit.first):
        return True, not (edit.last.isdigit() and int(edit.last) <= number)
    return False, False
