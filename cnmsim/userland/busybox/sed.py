"""busybox sed: the commands `s`, `p`, `d`, `q` and `=`, with addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.libc.getopt import UsageError, getopt
from cnmsim.userland.libc.regex import to_python_regex

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_COMMAND = re.compile(
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


def _parse_script(text: str, *, is_extended: bool) -> list[_Edit]:
    edits: list[_Edit] = []
    at = 0
    while at < len(text):
        if text[at] in "; \n\t":
            at += 1
            continue
        match = _COMMAND.match(text, at)
        if match is None:
            raise UsageError(f"unsupported command {text[at]}")
        at = match.end()
        first, last = match["first"] or "", match["last"] or ""
        if match["command"] != "s":
            edits.append(_Edit(first, last, bool(match["not"]), match["command"]))
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
        edits.append(_Edit(first, last, bool(match["not"]), "s", pattern, replacement, pieces[3]))
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
        edits = _parse_script("\n".join(scripts), is_extended="E" in options or "r" in options)
    except (UsageError, re.error) as error:
        return complain(process, str(error))
    inputs, status = await read_inputs(process, operands)
    lines = [line for source in inputs for line in lines_of(source.data)]
    is_open = [False] * len(edits)
    for number, original in enumerate(lines, 1):
        line: str | None = original
        for at, edit in enumerate(edits):
            if line is None:
                break
            chosen, is_open[at] = _is_selected(edit, line, number, len(lines), is_open[at])
            if chosen == edit.is_negated:
                continue
            if edit.command == "s" and edit.pattern is not None:
                changed, count = edit.pattern.subn(edit.replacement, line, 0 if "g" in edit.flags else 1)
                line = changed
                if count and "p" in edit.flags:
                    print_lines(process, [line])
            elif edit.command == "p":
                print_lines(process, [line])
            elif edit.command == "=":
                process.write(f"{number}\n")
            elif edit.command == "d":
                line = None
            else:
                if "n" not in options:
                    print_lines(process, [line])
                return status
        if line is not None and "n" not in options:
            print_lines(process, [line])
    return status


def _is_selected(edit: _Edit, line: str, number: int, total: int, is_open: bool) -> tuple[bool, bool]:
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
