"""The values that templates work with, and how Go's `fmt` formats them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias, Union

from attrs import frozen

from cnmsim.gostrconv import quote


@frozen
class Struct:
    """A value of a Go struct type. `type_name` is the name of that type in error messages."""

    type_name: str
    fields: Mapping[str, Value]


Value: TypeAlias = Union[str, int, float, bool, Struct, Mapping[str, "Value"], None]  # noqa: UP007  it names itself


def type_name(value: Value) -> str:
    """Return the name of a value's Go type."""
    if isinstance(value, Struct):
        return value.type_name
    if isinstance(value, Mapping):
        return "map[string]string"
    kinds: dict[type, str] = {bool: "bool", int: "int", float: "float64", str: "string"}
    return kinds.get(type(value), "<nil>")


def is_true(value: Value) -> bool:
    """Return True if the value counts as true in `{{if}}`: a struct, or any value that is not zero, empty or nil."""
    return True if isinstance(value, Struct) else bool(value)


def format_value(value: Value) -> str:
    """Format a value as Go's `%v` does."""
    if isinstance(value, Struct):
        return "{" + " ".join(format_value(field_value) for field_value in value.fields.values()) + "}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{format_value(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return "<nil>" if value is None else str(value)


def _float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])([0-9])$", r"e\g<1>0\2", repr(value))


def sprint(values: list[Value], *, always_spaced: bool = False) -> str:
    """Concatenate values as Go's `Sprint` does: with a space between two values if neither is a string.

    With `always_spaced`, put a space between all values, as `Sprintln` does.
    """
    result = ""
    for number, value in enumerate(values):
        is_spaced = always_spaced or not (isinstance(value, str) or isinstance(values[number - 1], str))
        result += (" " if number and is_spaced else "") + format_value(value)
    return result


_VERB = re.compile(r"%([-+# 0]*)(\*|[0-9]+)?(?:\.(\*|[0-9]+)?)?(.)?", re.DOTALL)


def sprintf(pattern: str, values: list[Value]) -> str:
    """Format values as Go's `Sprintf` does. Missing, surplus and mismatched arguments are marked as in Go.

    For example, a string for `%d` is printed as `%!d(string=x)`.
    """
    remaining = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        width, precision = (
            str(remaining.pop(0)) if size == "*" and remaining else size for size in (width, precision)
        )
        if not remaining:
            return f"%!{verb}(MISSING)"
        return _format_argument(
            remaining.pop(0), verb, flags, width, precision if precision or "." not in match[0] else "0"
        )

    text = _VERB.sub(one, pattern)
    if remaining:
        text += (
            "%!(EXTRA " + ", ".join(f"{type_name(surplus)}={format_value(surplus)}" for surplus in remaining) + ")"
        )
    return text


def _format_argument(value: Value, verb: str, flags: str, width: str | None, precision: str | None) -> str:
    text = _verb(value, verb, flags, precision)
    if text is None:
        mismatch = f"{type_name(value)}={format_value(value)}" if value is not None else "<nil>"
        return f"%!{verb}({mismatch})"
    size = int(width or 0)
    if "-" in flags:
        return text.ljust(size)
    if "0" in flags:
        sign = text[:1] if text[:1] in "+-" and not isinstance(value, str) else ""
        return sign + text[len(sign) :].rjust(size - len(sign), "0")
    return text.rjust(size)


def _verb(value: Value, verb: str, flags: str, precision: str | None) -> str | None:
    """Format a value by a verb of `Printf`, such as `d`, without padding to a width.

    `flags` may contain `+` and `#`; `precision` is the digits after the dot, `None` if there is no dot. Return `None`
    if the verb cannot format the value.
    """
    if verb == "v":
        return quote(value) if "#" in flags and isinstance(value, str) else format_value(value)
    if isinstance(value, bool):
        return format_value(value) if verb == "t" else None
    if isinstance(value, str):
        short = value if precision is None else value[: int(precision)]
        if verb in "xX":
            return format(int.from_bytes(short.encode()), verb).rjust(2 * len(short.encode()), "0") if short else ""
        return {"s": short, "q": quote(short)}.get(verb)
    if isinstance(value, int):
        if verb in "cU":
            return chr(value) if verb == "c" else f"U+{value:04X}"
        if verb == "q":
            return f"'{chr(value)}'"
        return format(value, ("+" if "+" in flags else "") + verb) if verb in "bdoxX" else None
    if isinstance(value, float):
        digits = f".{precision}" if precision else (".6" if verb in "feE" else "")
        return format(value, ("+" if "+" in flags else "") + digits + verb) if verb in "feEgG" else None
    if isinstance(value, (Mapping, Struct)) and verb == "s":
        return format_value(value)
    return None
