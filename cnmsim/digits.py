"""What counts as a whole number in text from outside."""

from __future__ import annotations

#: Python refuses to convert more digits than this (`sys.get_int_max_str_digits`).
_MOST_DIGITS = 4300


def is_number(text: str) -> bool:
    """Return True if `text` consists of the digits 0 to 9, so many that `int` converts it.

    `str.isdigit` and `str.isdecimal` are True for digits of other scripts, too, some of which `int` refuses.
    """
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
