"""Applets that rearrange or compare lines: tac, rev, paste, nl, fold, shuf, diff, cmp, comm, strings, dos2unix."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.permissions import executable
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.text_input import lines_of, print_lines, read_inputs
from cnmsim.userland.invocation import absolute_path, invoked_name, read_all

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def tac(process: Process) -> int:
    """Run `tac [FILE]…`: print the lines in reverse order."""
    inputs, status = await read_inputs(process, process.argv[1:])
    for source in inputs:
        print_lines(process, lines_of(source.data)[::-1])
    return status


async def rev(process: Process) -> int:
    """Run `rev [FILE]…`: print each line with its characters in reverse order."""
    inputs, status = await read_inputs(process, process.argv[1:])
    for source in inputs:
        print_lines(process, [line[::-1] for line in lines_of(source.data)])
    return status


async def paste(process: Process) -> int:
    """Run `paste [-s] [-d LIST] [FILE]…`: join corresponding lines of the files."""
    options = read_options(process, "sd:", "[-d LIST] [-s] [FILE]...")
    separators = (options.get("d") or "\t").replace("\\n", "\n").replace("\\t", "\t")
    inputs, status = await read_inputs(process, options.operands, "can't open '{}': {}")
    columns = [lines_of(source.data) for source in inputs]
    if "s" not in options:
        longest = max(map(len, columns), default=0)
        columns = [[column[at] if at < len(column) else "" for column in columns] for at in range(longest)]
    for row in columns:
        joined = row[:1]
        for at, cell in enumerate(row[1:]):
            joined += [separators[at % len(separators)], cell]
        print_lines(process, ["".join(joined)])
    return status


async def nl(process: Process) -> int:
    """Run `nl [-b a|t|n] [-s TEXT] [-w WIDTH] [-v N] [FILE]…`: print the lines with line numbers."""
    options = read_options(process, "b:s:w:v:i:pl:n:", "[OPTIONS] [FILE]...")
    inputs, status = await read_inputs(process, options.operands)
    number, width = options.number("v", 1), options.number("w", 6)
    for line in [line for source in inputs for line in lines_of(source.data)]:
        if line or options.get("b") == "a":
            print_lines(process, [f"{number:{width}d}{options.get('s', chr(9))}{line}"])
            number += options.number("i", 1)
        else:
            print_lines(process, [" " * (width + 1)])
    return status


async def fold(process: Process) -> int:
    """Run `fold [-bs] [-w WIDTH] [FILE]…`: break long lines."""
    options = read_options(process, "bsw:", "[-bs] [-w WIDTH] [FILE]...")
    width = options.number("w", 80, low=1)
    inputs, status = await read_inputs(process, options.operands)
    for line in [line for source in inputs for line in lines_of(source.data)]:
        rest = line
        while len(rest) > width:
            cut = rest.rfind(" ", 0, width) + 1 if "s" in options else width
            cut = cut or width
            print_lines(process, [rest[:cut]])
            rest = rest[cut:]
        print_lines(process, [rest])
    return status


async def strings(process: Process) -> int:
    """Run `strings [-n LENGTH] [FILE]…`: print the sequences of printable characters in files."""
    options = read_options(process, "afon:t:", "[-fo] [-t o|d|x] [-n LEN] [FILE]...")
    inputs, status = await read_inputs(process, options.operands)
    pattern = re.compile(rb"[\t\x20-\x7e]{%d,}" % options.number("n", 4, low=1))
    for source in inputs:
        print_lines(process, [match[0].decode() for match in pattern.finditer(source.data)])
    return status


async def shuf(process: Process) -> int:
    """Run `shuf [-n COUNT] [-e ARGUMENT… | -i LOW-HIGH | FILE]`: print lines in random order."""
    synopsis = "[-n NUM] [-o FILE] [-z] [FILE | -e [ARG...] | -i L-H]"
    options = read_options(process, "en:i:zo:", synopsis)
    status = 0
    if "i" in options:
        match = re.fullmatch(r"([0-9]+)-([0-9]+)", options.get("i") or "")
        if match is None:
            return complain(process, "bad range")
        lines = [str(number) for number in range(int(match[1]), int(match[2]) + 1)]
    elif "e" in options:
        lines = list(options.operands)
    else:
        inputs, status = await read_inputs(process, options.operands)
        lines = [line for source in inputs for line in lines_of(source.data)]
    process.machine.random.shuffle(lines)
    print_lines(process, lines[: options.number("n", len(lines))])
    return status


async def dos2unix(process: Process) -> int:
    """Run `dos2unix` or `unix2dos [-ud] [FILE]`: convert line ends between CRLF and LF."""
    options = read_options(process, "ud", "[-ud] [FILE]")
    adds = (invoked_name(process) == "unix2dos" or "d" in options) and "u" not in options
    for operand in options.operands or ["-"]:
        path = absolute_path(process, operand)
        try:
            data = await read_all(process.stdin) if operand == "-" else process.files.read(path)
            data = data.replace(b"\r\n", b"\n")
            data = data.replace(b"\n", b"\r\n") if adds else data
            if operand == "-":
                process.write(data)
            else:
                process.files.write(path, data)
        except OSError as error:
            return complain(process, f"can't open '{operand}': {strerror(error)}")
    return 0


async def cmp(process: Process) -> int:
    """Run `cmp [-ls] FILE1 [FILE2]`: compare two files byte by byte."""
    options = read_options(process, "lsn:", "[-ls] [-n NUM] FILE1 [FILE2]", needs_operand=True)
    names = [*options.operands, "-"][:2]
    inputs, status = await read_inputs(process, names, "can't open '{}': {}")
    if status:
        return 2
    first, second = (source.data for source in inputs)
    if first == second:
        return 0
    if "s" in options:
        return 1
    at = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if at is None:
        complain(process, f"EOF on {names[len(first) > len(second)]}")
        return 1
    process.write(f"{names[0]} {names[1]} differ: char {at + 1}, line {first.count(10, 0, at) + 1}\n")
    return 1


async def diff(process: Process) -> int:
    """Run `diff [-abBiqsuwU N] FILE1 FILE2`: print a unified diff, as busybox does."""
    synopsis = "[-abBdiNqrTstw] [-L LABEL] [-S FILE] [-U LINES] FILE1 FILE2"
    options = read_options(process, "abBdiNqrTstwuL:S:U:", synopsis, status=2)
    if len(options.operands) != 2:
        show_usage(process, synopsis)
        return 2
    inputs, status = await read_inputs(process, options.operands)
    if status:
        return 2
    texts = [lines_of(source.data) for source in inputs]
    if "i" in options or "w" in options or "b" in options:
        keys = [[_key(line, is_lower="i" in options, ignores="w" in options or "b" in options) for line in text]
                for text in texts]  # fmt: skip
    else:
        keys = texts
    first, second = options.operands
    if keys[0] == keys[1]:
        if "s" in options:
            process.write(f"Files {first} and {second} are identical\n")
        return 0
    if "q" in options:
        process.write(f"Files {first} and {second} differ\n")
        return 1
    lines = difflib.unified_diff(texts[0], texts[1], first, second, n=options.number("U", 3), lineterm="")
    print_lines(process, list(lines))
    return 1


def _key(line: str, *, is_lower: bool, ignores: bool) -> str:
    line = line.lower() if is_lower else line
    return " ".join(line.split()) if ignores else line


async def comm(process: Process) -> int:
    """Run `comm [-123] FILE1 FILE2`: compare two sorted files.

    Lines that only FILE1 has, that only FILE2 has, and that both have are printed in three columns.
    """
    options = read_options(process, "123", "[-123] FILE1 FILE2")
    if len(options.operands) != 2:
        return show_usage(process, "[-123] FILE1 FILE2")
    inputs, status = await read_inputs(process, options.operands)
    if status:
        return status
    first, second = (lines_of(source.data) for source in inputs)
    while first or second:
        column = 3 if first[:1] == second[:1] else 1 if not second or (first and first[0] < second[0]) else 2
        line = (first if column != 2 else second)[0]
        first = first[1:] if column != 2 else first
        second = second[1:] if column != 1 else second
        if str(column) not in options:
            tabs = sum(str(number) not in options for number in range(1, column))
            print_lines(process, ["\t" * tabs + line])
    return 0


async def which(process: Process) -> int:
    """Run `which [-a] PROGRAM…`: print the paths of programs."""
    options = read_options(process, "a", "[-a] COMMAND...", needs_operand=True)
    status = 0
    for name in options.operands:
        path = program_path(process, name)
        if path is None:
            status = 1
        else:
            process.write(f"{path}\n")
    return status


def program_path(process: Process, name: str) -> str | None:
    """Return the path of the program or executable script `name`, or `None` if there is none.

    A `name` without a slash is looked up in the folders of PATH.
    """
    files = process.files
    folders = [""] if "/" in name else process.env.get("PATH", "/bin").split(":")
    for folder in folders:
        path = f"{folder.rstrip('/')}/{name}" if folder else absolute_path(process, name)
        if files.exists(path) and executable(process, path):
            return path if folder else name
    base = name.rpartition("/")[2]
    if base in process.programs:
        return name if "/" in name else f"/bin/{base}"
    return None
