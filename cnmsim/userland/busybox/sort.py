"""The sort and uniq applets."""

from __future__ import annotations

import re
from functools import total_ordering
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.invocation import absolute_path

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_SORT = "[-nrughMcszbdfiokt] [-o FILE] [-k START[.OFS][OPTS][,END[.OFS][OPTS]] [-t CHAR] [FILE]..."
_HUMAN = {"K": 1, "M": 2, "G": 3, "T": 4}


async def sort(process: Process) -> int:
    """Run `sort [-bcdfghiMnrsuVz] [-o FILE] [-t C] [-k START[,END]]… [FILE]…`."""
    options = read_options(process, "nrufbk:t:VshcCo:gMdizT:S:m", _SORT, status=2)
    inputs, status = await read_inputs(process, options.operands)
    lines = [line for source in inputs for line in lines_of(source.data)]
    separator = options.get("t")
    letters = "".join(letter for letter in "nrfVhbgMdi" if letter in options)
    specs = [_sort_spec(text, letters) for text in options.every("k")] or [(0, 0, 0, 0, letters)]

    def key(line: str) -> list[_SortKey]:
        return [_SortKey(_sort_value(_extract(line, spec, separator), spec[4]), "r" in spec[4]) for spec in specs]

    def whole(line: str) -> tuple[list[_SortKey], _SortKey]:
        return key(line), _SortKey(line, "r" in options)

    if "c" in options or "C" in options:
        for number, (before, after) in enumerate(pairwise(lines), 1):
            if key(after) < key(before):
                return complain_plainly(process, f"Check line {number}")
        return 0
    lines.sort(key=key if "s" in options or "u" in options else whole)
    if "u" in options:
        lines = [line for at, line in enumerate(lines) if not at or key(line) != key(lines[at - 1])]
    text = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    if "o" not in options:
        process.write(text)
        return status
    try:
        process.files.write(absolute_path(process, options.get("o") or ""), text)
    except OSError as error:
        return complain(process, f"can't create '{options.get('o')}': {strerror(error)}")
    return status


def complain_plainly(process: Process, message: str) -> int:
    """Print `message` on standard error, without the program's name before it. Return exit status 1."""
    process.error(f"{message}\n")
    return 1


@total_ordering
class _SortKey:
    """A sort key that wraps a value. If `is_reversed` is set, greater values sort first."""

    __slots__ = ("is_reversed", "value")

    def __init__(self, value: Any, is_reversed: bool) -> None:
        self.value, self.is_reversed = value, is_reversed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SortKey) and bool(self.value == other.value)

    def __lt__(self, other: _SortKey) -> bool:
        return bool(other.value < self.value if self.is_reversed else self.value < other.value)

    __hash__ = None  # type: ignore[assignment]


def _sort_spec(text: str, letters: str) -> tuple[int, int, int, int, str]:
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?([a-zA-Z]*)(?:,([0-9]+)(?:\.([0-9]+))?([a-zA-Z]*))?", text)
    if match is None:
        return 1, 0, 0, 0, letters
    own = (match[3] or "") + (match[6] or "")
    return int(match[1]), int(match[2] or 0), int(match[4] or 0), int(match[5] or 0), own or letters


def _extract(line: str, spec: tuple[int, int, int, int, str], separator: str | None) -> str:
    """Return the part of `line` that a key (option -k) compares.

    `spec` holds the key's first field and character, last field and character, and option letters; 0 means missing.
    `separator` separates the fields. If it is `None`, blanks separate them, and a field includes the blanks before
    it.
    """
    first, offset, last, end, _ = spec
    if not first:
        return line
    parts = line.split(separator) if separator else re.findall(r"\s*\S+", line)
    joined = (separator or "").join(parts[first - 1 : last or None])
    if end and last:
        before = (separator or "").join(parts[first - 1 : last - 1])
        joined = joined[: len(before) + len(separator or "") * bool(before) + end]
    return joined[max(offset - 1, 0) :]


def _sort_value(text: str, letters: str) -> Any:
    if "n" in letters or "g" in letters or "h" in letters:
        match = re.match(r"\s*(-?[0-9]*\.?[0-9]*)([KMGT]?)", text)
        digits = match[1] if match else ""
        number = float(digits) if re.search(r"[0-9]", digits) else 0.0
        power = _HUMAN.get(match[2], 0) if match and "h" in letters else 0
        return (power, number) if "h" in letters else number
    if "V" in letters:
        return [(int(part), "") if is_number(part) else (-1, part) for part in re.findall(r"[0-9]+|[^0-9]+", text)]
    if "b" in letters:
        text = text.lstrip()
    if "d" in letters:
        text = re.sub(r"[^A-Za-z0-9 \t]", "", text)
    return text.upper() if "f" in letters else text


async def uniq(process: Process) -> int:
    """Run `uniq [-cdui] [-f FIELDS] [-s CHARACTERS] [-w CHARACTERS] [FILE [OUTPUT]]`."""
    options = read_options(process, "cduizf:s:w:", "[-cduiz] [-f,s,w N] [FILE [OUTFILE]]")
    inputs, status = await read_inputs(process, options.operands[:1])
    fields, skipped, width = options.number("f", 0), options.number("s", 0), options.number("w", 10**6)

    def key(line: str) -> str:
        rest = re.sub(rf"^(?:\s*\S+){{0,{fields}}}", "", line) if fields else line
        rest = rest[skipped:][:width]
        return rest.lower() if "i" in options else rest

    groups: list[tuple[int, str]] = []
    for line in [line for source in inputs for line in lines_of(source.data)]:
        if groups and key(groups[-1][1]) == key(line):
            groups[-1] = (groups[-1][0] + 1, groups[-1][1])
        else:
            groups.append((1, line))
    shown = [
        f"{count:7d} {line}" if "c" in options else line
        for count, line in groups
        if not (("d" in options and count < 2) or ("u" in options and count > 1))
    ]
    if len(options.operands) > 1:
        text = "".join(f"{line}\n" for line in shown).encode(errors="surrogateescape")
        process.files.write(absolute_path(process, options.operands[1]), text)
        return status
    print_lines(process, shown)
    return status
