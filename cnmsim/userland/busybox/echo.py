"""The echo and printf commands: backslash sequences, and printf's conversions of strings, characters and numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.digits import is_number, parse_c_number
from cnmsim.gostrconv import parse_float
from cnmsim.userland.busybox.applet import complain, show_usage

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|0?[0-7]{1,3}|.)", re.DOTALL)


class FormatError(Exception):
    """The format of printf or one of its arguments is invalid."""


def _byte(code: int) -> str:
    """Return the character that stands for a byte in text: the ASCII character, or else a surrogate escape.

    A surrogate escape is written as the original byte on output.
    """
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def unescape(text: str) -> str:
    r"""Replace backslash sequences such as `\n` by the characters they stand for.

    Unknown sequences are left unchanged.
    """

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) > 1:
            return _byte(int(code[1:], 16))
        if code[0] in "01234567":
            return _byte(int(code, 8) & 255)
        return _ESCAPES.get(code, match[0])

    return _ESCAPE.sub(replace, text)


def echo_text(arguments: list[str]) -> str:
    """Return what `echo ARGUMENT…` prints. Leading -n, -e and -E are interpreted as options."""
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


_CONVERSION = re.compile(r"%([-+ 0#]*)(\*|[0-9]+)?(?:\.([0-9]+|\*))?([sdiuoxXcbqeEfgG%]|\([^)]*\)T)")


def format_printf(
    template: str,
    arguments: list[str],
    *,
    errors: list[str] | None = None,
    quote: Callable[[str], str] = str,
    now_s: int = 0,
) -> str:
    """Return what `printf TEMPLATE ARGUMENT…` prints. The template is reused until all arguments are consumed.

    A numeric conversion of an argument that is not a number raises `FormatError`. If `errors` is a list, the message
    is appended to it instead, and the argument's leading digits are used. `quote` converts the arguments of `%q`.
    `now_s` is the time that `%(FORMAT)T` prints if it has no argument.
    """
    template = unescape(template)
    remaining = list(arguments)

    def take() -> str:
        return remaining.pop(0) if remaining else ""

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, kind = match.groups()
        if kind == "%":
            return "%"
        if width == "*":
            width = take()
        if precision == "*":
            precision = take()
        spec = f"%{flags}{width or ''}{'.' + precision if precision else ''}"
        argument = take()
        if kind[-1] == "T":
            seconds = int(argument) if is_number(argument) else now_s
            text = time.strftime(kind[1:-2] or "%H:%M:%S", time.gmtime(seconds))
            return (spec + "s") % text
        if kind in "sbq":
            return (spec + "s") % (
                unescape(argument) if kind == "b" else quote(argument) if kind == "q" else argument
            )
        if kind == "c":
            return (spec + "s") % argument[:1]
        try:
            if kind in "eEfgG":
                return (spec + kind) % parse_float(argument or "0")
            value = (
                ord(argument[1])
                if argument[:1] in ("'", '"') and len(argument) > 1
                else parse_c_number(argument or "0")
            )
        except ValueError:
            if errors is None:
                raise FormatError(f"invalid number '{argument}'") from None
            errors.append(f"{argument}: invalid number")
            digits = re.match(r"-?[0-9]+", argument)
            value = int(digits[0]) if digits is not None else 0
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
