"""The builtin `read` and bash's `mapfile`, which read lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.task import wait_for

if TYPE_CHECKING:
    from cnmsim.kernel.files import Pipe
    from cnmsim.userland.sh.state import ShellState, Streams


async def read_line(
    pipe: Pipe, most: int | None = None, *, delimiter: bytes = b"\n", is_exact: bool = False
) -> bytes:
    """Read one line including its delimiter. Nothing after the delimiter is taken from the pipe.

    Less is returned at the end of the input, or after `most` bytes. With `is_exact`, the delimiter does not end the
    line: exactly `most` bytes are read, or all up to the end.
    """
    line = b""
    while True:
        waiting = pipe.getvalue() if most is None else pipe.getvalue()[: most - len(line)]
        end = -1 if is_exact else waiting.find(delimiter)
        chunk = await pipe.read(end + 1 if end >= 0 else max(1, len(waiting)))
        line += chunk
        if not chunk or (line.endswith(delimiter) and not is_exact) or len(line) == most:
            return line


@define
class _Options:
    names: list[str] = field(factory=list)
    is_raw: bool = False
    array: str = ""
    delimiter: str = "\n"
    timeout_s: float | None = None
    most: int | None = None
    is_exact: bool = False
    fd: int = 0


def _parse(shell: ShellState, words: list[str], streams: Streams) -> _Options | None:
    """Parse the arguments of `read`. If they are invalid, print the error and return `None`."""
    options, arguments = _Options(), words[1:]
    with_value = "dipntuaN" if shell.is_bash else "ptnud"
    while arguments[:1] and len(arguments[0]) > 1 and arguments[0][0] == "-":
        text = arguments.pop(0)[1:]
        if text == "-":
            break
        while text:
            letter, text = text[0], text[1:]
            value = ""
            if letter in with_value:
                if not text and not arguments:
                    shell.complain(streams, f"read: -{letter}: option requires an argument")
                    return None
                value, text = text or arguments.pop(0), ""
            elif letter not in "rse"[: 3 if shell.is_bash else 2]:
                text = f"-{letter}: invalid option" if shell.is_bash else f"illegal option -{letter}"
                shell.complain(streams, f"read: {text}")
                return None
            if not _apply(shell, options, letter, value, streams):
                return None
    options.names = arguments
    return options


def _apply(shell: ShellState, options: _Options, letter: str, value: str, streams: Streams) -> bool:
    if letter == "r":
        options.is_raw = True
    elif letter == "a":
        options.array = value
    elif letter == "d":
        options.delimiter = value[:1] or "\0"
    elif letter == "p":
        if not shell.is_bash or "TERM" in shell.process.env:  # bash prompts at a terminal only
            shell.put(streams.stderr, value)
    elif letter == "t":
        if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", value):
            text = f"{value}: invalid timeout specification" if shell.is_bash else "invalid timeout"
            shell.complain(streams, f"read: {text}")
            return False
        options.timeout_s = float(value)
    elif letter in "nN":
        if not is_number(value):
            shell.complain(streams, f"read: {f'{value}: invalid number' if shell.is_bash else 'invalid count'}")
            return False
        options.most, options.is_exact = int(value) or None, letter == "N"
    elif letter == "u":
        if not is_number(value) or (int(value) > 2 and int(value) not in streams.others):
            text = f"{value}: invalid file descriptor: Bad file descriptor"
            shell.complain(streams, f"read: {text if shell.is_bash else 'invalid file descriptor'}")
            return False
        options.fd = int(value)
    return True


async def read(shell: ShellState, words: list[str], streams: Streams) -> int:
    """Run `read [-rs] [-p PROMPT] [-t SECONDS] [-n COUNT] [-d DELIMITER] [-u FD] [-a ARRAY] [NAME…]`."""
    options = _parse(shell, words, streams)
    if options is None:
        return 2 if not shell.is_bash else 1 if "invalid" in words else 2
    pipe = streams.stdin if not options.fd else streams.others.get(options.fd, streams.stdin)
    if options.timeout_s == 0:  # `-t 0` only checks whether input is available (busybox libbb, shell_builtin_read)
        return int(not pipe.getvalue() and not pipe.is_closed)
    delimiter = options.delimiter.encode(errors="surrogateescape")
    line = b""
    try:
        while True:
            reading = read_line(pipe, options.most, delimiter=delimiter, is_exact=options.is_exact)
            clock = shell.process.clock
            line += await (reading if options.timeout_s is None else wait_for(clock, reading, options.timeout_s))
            # A backslash before the newline continues the line.
            continues = re.search(rb"(?<!\\)(?:\\\\)*\\\n\Z", line)
            if options.is_raw or continues is None:
                break
            line = line[:-2]
    except TimeoutError:
        return 142 if shell.is_bash else 1
    is_whole = (line.endswith(delimiter) and not options.is_exact) or len(line) == options.most
    text = line.decode(errors="surrogateescape")
    text = text if options.is_exact else text.removesuffix(options.delimiter)
    text = text.replace("\0", "")
    if not options.names and not options.array:
        shell.variables["REPLY"] = text if options.is_raw else _unescaped(text)
    elif options.array:
        shell.variables.set_list(options.array, _fields(shell, text, None, is_raw=options.is_raw))
    else:
        fields = [text] if options.is_exact else _fields(shell, text, len(options.names), is_raw=options.is_raw)
        for number, name in enumerate(options.names):
            shell.variables[name] = fields[number] if number < len(fields) else ""
    return 0 if is_whole else 1


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _fields(shell: ShellState, text: str, most: int | None, *, is_raw: bool) -> list[str]:
    """Split a line into fields at the characters of IFS.

    There are at most `most` fields (`None`: any number), and the last one holds the rest of the line. With `is_raw`,
    a backslash does not escape the next character.
    """
    separators = shell.variables.get("IFS", " \t\n")
    if not is_raw:  # escaped characters are no separators: hide them
        text = re.sub(r"\\(.)", lambda match: chr(0xF0000 + ord(match[1])), text, flags=re.DOTALL)
    blanks = "".join(c for c in separators if c in " \t\n")
    others = "".join(c for c in separators if c not in " \t\n")
    text = text.strip(blanks) if blanks else text
    if most == 1 and not others:
        parts = [text]
    elif not separators or (most is None and not text):
        parts = [text] if text else []
    else:
        blank = f"[{re.escape(blanks)}]" if blanks else "(?!)"
        other = f"[{re.escape(others)}]" if others else "(?!)"
        separator = f"{blank}*{other}{blank}*|{blank}+"
        parts = re.split(separator, text, maxsplit=0 if most is None else most - 1) if most != 1 else [text]
        if most is None and parts and not parts[-1]:
            parts.pop()
        # A single separator at the end of the last field is dropped (POSIX XCU read).
        if most is not None and len(parts) == most and (end := re.search(f"{blank}*{other}{blank}*\\Z", parts[-1])):
            rest = parts[-1][: end.start()]
            parts[-1] = rest if re.search(separator, rest) is None else parts[-1]
    return [re.sub(r"[\U000f0000-\U0010ffff]", lambda match: chr(ord(match[0]) - 0xF0000), part) for part in parts]


async def read_array(shell: ShellState, words: list[str], streams: Streams) -> int:
    """Run bash's `mapfile [-t] [-d DELIMITER] [-n COUNT] [-O ORIGIN] [-s COUNT] [-u FD] [ARRAY]`."""
    arguments, strips, values = words[1:], False, {"d": "\n", "n": "0", "O": "", "s": "0", "u": "0"}
    while arguments[:1] and arguments[0].startswith("-") and len(arguments[0]) > 1:
        option = arguments.pop(0)
        strips = strips or option[1] == "t"
        if option[1] in values and (option[2:] or arguments):
            values[option[1]] = option[2:] or arguments.pop(0)
        elif option[1] != "t":
            shell.complain(streams, f"{words[0]}: {option}: invalid option")
            return 2
    if not all(
        is_number(value) or (not value and letter == "O") for letter, value in values.items() if letter != "d"
    ):
        shell.complain(streams, f"{words[0]}: invalid count")
        return 1
    fd = int(values["u"])
    pipe = streams.others.get(fd, streams.stdin) if fd else streams.stdin
    delimiter = (values["d"][:1] or "\0").encode(errors="surrogateescape")
    lines: list[str] = []
    skipped, most = int(values["s"]), int(values["n"])
    while not most or len(lines) < most:
        line = await read_line(pipe, delimiter=delimiter)
        if not line:
            break
        if skipped:
            skipped -= 1
            continue
        line = line.removesuffix(delimiter) if strips else line
        lines.append(line.decode(errors="surrogateescape").replace("\0", ""))
    name = arguments[0] if arguments else "MAPFILE"
    if not values["O"]:
        shell.variables.set_list(name, lines)
    else:
        numbered: list[tuple[str | None, str, bool]] = [
            (str(int(values["O"]) + number), line, False) for number, line in enumerate(lines)
        ]
        shell.variables.assign_array(name, numbered, appends=True)
    return 0
