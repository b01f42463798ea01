"""busybox grep."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.libc.getopt import Options
from cnmsim.userland.libc.regex import to_python_regex

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def grep(process: Process) -> int:
    """Run `grep [-ivcnqoEFwxlhH] [-m N] [-e PATTERN] PATTERN [FILE]…`."""
    synopsis = "[-HhnlLoqvsrRiwFE] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."
    options = read_options(process, "ivcnqoEFwxlhHsm:e:A:B:C:", synopsis)
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
    inputs, status = await read_inputs(process, operands)
    has_match = False
    with_name = (len(operands) > 1 or "H" in options) and "h" not in options
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
    return 0 if has_match else (2 if status else 1)


def _with_context(
    lines: list[str], matching: dict[int, str], context: list[int], prefix: str, options: Options
) -> list[str]:
    """Return the matching lines and the `context` = [before, after] lines around them, formatted for output.

    `matching` has the matching lines by line number. `--` separates groups of lines that are not adjacent.
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
