"""The values of awk: numbers, strings, and input text, which counts as a number if it looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


class AwkError(Exception):
    """A run-time error of the awk program, such as a division by zero."""


class Text(str):
    """A string from the program's input, as opposed to a constant. It compares as a number if it looks like one."""

    __slots__ = ()


Number = float
#: A number, a string, or a `Text`.
Value = float | str
_PREFIX = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?))")


def number_of(value: Value) -> float:
    """Return the number at the beginning of a value, e.g. 12 for `12ab`, or 0 if there is none."""
    if isinstance(value, float):
        return value
    match = _PREFIX.match(value)
    return float(match[1]) if match else 0.0


def _looks_numeric(value: Value) -> bool:
    if isinstance(value, float):
        return True
    if not isinstance(value, Text):
        return value == ""
    match = _PREFIX.match(value)
    return match is not None and not value[match.end() :].strip()


def string_of(value: Value, form: str) -> str:
    """Return a value as a string. `form`, such as `%.6g`, is the format of a number that is not an integer."""
    if isinstance(value, str):
        return str(value)
    if value == int(value) if abs(value) < 1e16 else False:
        return str(int(value))
    return format_number(form, value)


def format_number(form: str, value: float) -> str:
    """Format `value` with `form`, a format of printf(3) such as `%.6g`. An invalid format is replaced by `%.6g`."""
    try:
        return form % value
    except (TypeError, ValueError):
        return f"{value:.6g}"


def truth(value: Value) -> bool:
    """Return True if a value counts as true: a number other than 0, or a string that is not empty.

    Input text that looks like a number counts as that number.
    """
    if isinstance(value, float):
        return value != 0
    if isinstance(value, Text) and _looks_numeric(value):
        return number_of(value) != 0
    return value != ""


def compare(operator: str, left: Value, right: Value, to_text: Callable[[Value], str]) -> bool:
    """Return True if `left OPERATOR right` is true, e.g. for the operator `<`.

    The values are compared as numbers if both are numbers or input that looks like one. Otherwise they are compared
    as strings, to which `to_text` converts them.
    """
    a: float | str
    b: float | str
    if _looks_numeric(left) and _looks_numeric(right) and (isinstance(left, (float, Text)) or left == ""):
        a, b = number_of(left), number_of(right)
        order = (a > b) - (a < b)
    else:
        a, b = to_text(left), to_text(right)
        order = (a > b) - (a < b)
    return {
        "<": order < 0, "<=": order <= 0, "==": order == 0, "!=": order != 0, ">": order > 0, ">=": order >= 0,
    }[operator]  # fmt: skip


def sprintf(form: str, values: Sequence[Value], to_text: Callable[[Value], str]) -> str:
    """Return `values` formatted with `form`, as printf(3) does. Missing values count as empty.

    `to_text` converts a value to a string.
    """
    rest = list(values)

    def take() -> Value:
        return rest.pop(0) if rest else ""

    def value(match: re.Match[str]) -> str:
        flags, width, precision, conversion = match[1], match[2] or "", match[3] or "", match[4]
        if conversion == "%":
            return "%"
        if width == "*":
            width = str(int(number_of(take())))
        if precision == ".*":
            precision = f".{int(number_of(take()))}"
        spec = f"%{flags}{width}{precision or ''}"
        item = take()
        if conversion in "di":
            return f"{spec}d" % int(number_of(item))
        if conversion in "oxXu":
            return f"{spec}{conversion.replace('u', 'd')}" % int(number_of(item))
        if conversion in "eEfFgG":
            return f"{spec}{conversion}" % number_of(item)
        if conversion == "c":
            text = chr(int(item)) if isinstance(item, float) else item[:1]
            return f"%{flags}{width}s" % text
        return f"{spec}s" % to_text(item)

    return re.sub(r"%([-+ #0]*)([0-9]+|\*)?(\.[0-9]*|\.\*)?([a-zA-Z%])", value, form)
