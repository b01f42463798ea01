"""The grep applet of busybox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.devices import Device
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.inodes import walk
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.invocation import absolute_path, invoked_name
from cnmsim.userland.libc.getopt import Options
from cnmsim.userland.libc.regex import to_python_regex

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def grep(process: Process) -> int:
    """Run `grep [-ivcnqoEFwxlhH] [-m N] [-e PATTERN] PATTERN [FILE]…`."""
    synopsis = "[-HhnlLoqvsrRiwFE] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."
    options = read_options(process, "ivcnqoEFwxlLhHsrRzaIm:e:f:A:B:C:", synopsis, long=_LONG, status=2)
    operands = list(options.operands)
    name = invoked_name(process)
    for letter, alias in (("E", "egrep"), ("F", "fgrep")):
        if name == alias:
            options.values.setdefault(letter, [""])
    patterns = options.every("e")
    for file in options.every("f"):
        try:
            patterns = [*patterns, *lines_of(process.files.read(absolute_path(process, file)))]
        except OSError as error:
            complain(process, f"{file}: {strerror(error)}")
            return 2
    if not patterns and "f" not in options:
        if not operands:
            show_usage(process, synopsis)
            return 2
        patterns = [operands.pop(0)]
    try:
        pattern = _grep_pattern(patterns, options)
    except re.error:
        complain(process, f"bad regex '{patterns[0]}': Invalid regexp")
        return 2
    is_recursive = "r" in options or "R" in options
    with_name = (len(operands) > 1 or "H" in options or is_recursive) and "h" not in options
    if is_recursive:
        operands = _files_below(process, operands or ["."])
    inputs, status = await read_inputs(process, operands, is_silent="s" in options)
    has_match = False
    for source in inputs:
        matching: list[tuple[int, str]] = []
        for number, line in enumerate(lines_of(source.data), 1):
            if (pattern.search(line) is not None) != ("v" in options):
                matching.append((number, line))
        matching = matching[: options.number("m", len(matching))]
        has_match = has_match or bool(matching)
        if "q" in options:
            continue
        prefix = f"{source.name}:" if with_name else ""
        if "c" in options:
            process.write(f"{prefix}{len(matching)}\n")
        elif "L" in options:
            process.write("" if matching else f"{source.name}\n")
        elif "l" in options:
            process.write(f"{source.name}\n" if matching else "")
        else:
            context = [options.number(letter, options.number("C", 0)) for letter in "BA"]
            if any(context) and "o" not in options:
                print_lines(process, _with_context(lines_of(source.data), dict(matching), context, prefix, options))
                continue
            for number, line in matching:
                shown = [hit[0] for hit in pattern.finditer(line) if hit[0]] if "o" in options else [line]
                label = f"{prefix}{number}:" if "n" in options else prefix
                print_lines(process, [f"{label}{text}" for text in shown])
    return 2 if status else int(not has_match)


_LONG = {
    "quiet": "q", "silent": "q", "ignore-case": "i", "invert-match": "v", "count": "c", "line-number": "n",
    "only-matching": "o", "extended-regexp": "E", "fixed-strings": "F", "word-regexp": "w", "line-regexp": "x",
    "files-with-matches": "l", "recursive": "r", "no-messages": "s", "max-count=": "m", "regexp=": "e",
    "color=": "color", "color": "color", "after-context=": "A", "before-context=": "B", "context=": "C",
}  # fmt: skip


def _files_below(process: Process, operands: list[str]) -> list[str]:
    """Return the paths of all files in and below `operands`, for -r. An operand that does not exist is included."""
    files: list[str] = []
    for operand in operands:
        try:
            entries = list(walk(process, operand, follows=True))
        except OSError:
            files.append(operand)
            continue
        files += [path for path, inode in entries if not isinstance(inode, (Directory, Device))]
    return files


def _with_context(
    lines: list[str], matching: dict[int, str], context: list[int], prefix: str, options: Options
) -> list[str]:
    """Return the output lines: the matching lines and the lines of context around them.

    `matching` maps line numbers, counted from 1, to the matching lines. `context` holds two numbers: the lines to
    print before and after each match. `prefix` is the file name with a colon, or "". A line `--` separates groups
    that are not adjacent.
    """
    before, after = context
    numbers = {at for number in matching for at in range(number - before, number + after + 1)}
    shown: list[str] = []
    last = 0
    for number in sorted(numbers & set(range(1, len(lines) + 1))):
        if last and number > last + 1:
            shown.append("--")
        last = number
        sign = ":" if number in matching else "-"
        label = f"{prefix[:-1]}{sign}" if prefix else ""
        label += f"{number}{sign}" if "n" in options else ""
        shown.append(f"{label}{lines[number - 1]}")
    return shown


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
