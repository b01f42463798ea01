"""Checking and parsing of whole numbers in user input."""

from __future__ import annotations

import re

#: Python refuses to convert more digits than this (`sys.get_int_max_str_digits`).
_MOST_DIGITS = 4300
_C_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)")


def is_number(text: str) -> bool:
    """Return True if `text` consists of the digits 0 to 9 only, and of so few that `int` can convert it.

    `str.isdigit` and `str.isdecimal` also accept digits of other scripts, some of which `int` refuses.
    """
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def parse_c_number(text: str) -> int:
    """Parse a decimal, 0x or 0-octal number with an optional sign, as strtol(3) with base 0 does.

    Raises `ValueError`. Unlike `int(text, 0)` it refuses digits of other scripts, underscores, blanks and `0b1`.
    """
    if len(text) > _MOST_DIGITS or not _C_NUMBER.fullmatch(text):
        raise ValueError(f"invalid number: {text[:80]!r}")
    digits = text.lstrip("-+")
    return int(text, 16 if digits[:2] in {"0x", "0X"} else 8 if digits[0] == "0" else 10)
