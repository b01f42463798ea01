"""Number parsing with the syntax and the error texts of Go's `strconv` (go1.24, {atob,atoi,atof,quote}.go)."""

from __future__ import annotations

import re

_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
    '"': '\\"',
}  # fmt: skip


class NumError(ValueError):
    """A text is not a valid number or boolean. The message is that of Go's `strconv.NumError`."""

    def __init__(self, function: str, text: str, cause: str = "invalid syntax") -> None:
        super().__init__(f"strconv.{function}: parsing {quote(text)}: {cause}")


def quote(text: str) -> str:
    """Return `text` as a Go string literal, as `strconv.Quote` and the verb `%q` do."""
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_bool(text: str) -> bool:
    """Parse a boolean: 1, t, T, TRUE, true, True, or 0, f, F, FALSE, false, False. Raises `NumError`."""
    if text not in _BOOLS:
        raise NumError("ParseBool", text)
    return _BOOLS[text]


def atoi(text: str) -> int:
    """Parse a signed decimal integer that fits in 64 bits. Raises `NumError`."""
    return _integer("Atoi", text, -1 << 63, 1 << 63)


def parse_uint(text: str, bits: int = 64) -> int:
    """Parse an unsigned decimal integer that fits in `bits` bits. Raises `NumError`."""
    if text[:1] in {"+", "-"}:
        raise NumError("ParseUint", text)
    return _integer("ParseUint", text, 0, 1 << bits)


def _integer(function: str, text: str, least: int, end: int) -> int:
    if not _INTEGER.fullmatch(text):
        raise NumError(function, text)
    # Python refuses to convert thousands of digits. No Go type holds more than 20.
    digits = text.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) <= 20 else end
    if text[0] == "-":
        value = -value if value < end else least - 1
    if not least <= value < end:
        raise NumError(function, text, "value out of range")
    return value


def parse_float(text: str) -> float:
    """Parse a decimal floating-point number. Raises `NumError`."""
    if not _FLOAT.fullmatch(text):
        raise NumError("ParseFloat", text)
    return float(text)
