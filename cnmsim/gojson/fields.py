"""Go's `encoding/json` conventions: `omitempty`, RFC 3339 timestamps, whole floats printed as integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from cnmsim.errors import InvalidParameter

_E = TypeVar("_E", bound=Enum)
NS_PER_S = 1_000_000_000
#: Go's zero time.
ZERO_TIME = "0001-01-01T00:00:00Z"
#: The last second, since 1970, that can be written with four digits of the year.
LAST_S = 253402300799


def rfc3339(moment_ns: int | None, *, digits: int = 9, keep_zeros: bool = False) -> str:
    """Format nanoseconds since 1970 as an RFC 3339 time; `None` becomes Go's zero time.

    `digits` is the length of the fraction; 0 omits it. Trailing zeros of the fraction are removed, as in Go's
    RFC3339Nano, unless `keep_zeros`.
    """
    if moment_ns is None:
        return ZERO_TIME
    seconds, fraction = divmod(min(moment_ns, LAST_S * NS_PER_S), NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}"[:digits]
    if not keep_zeros:
        decimals = decimals.rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def omit_empty(*fields: tuple[str, Any]) -> dict[str, Any]:
    """Return a JSON object of the (name, value) pairs in `fields`, without the empty values, as `omitempty` does.

    An empty dict stands for an empty struct, which Go does not omit, and is included. `EMPTY_MAP` stands for an empty
    map and is omitted.
    """
    return {name: value for name, value in fields if value or (isinstance(value, dict) and value is not EMPTY_MAP)}


#: An empty Go map, which `omit_empty` omits; any other `{}` represents a Go struct.
EMPTY_MAP: dict[str, str] = {}


def sorted_map(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a dict with the keys of `value` sorted, as Go prints maps; `EMPTY_MAP` if `value` is empty or `None`."""
    return {key: value[key] for key in sorted(value)} if value else EMPTY_MAP


def go_float(value: float) -> float | int:
    """Return `value`, converted to an int if it is a whole number, because Go prints 2.0 as `2`."""
    return int(value) if value == int(value) else value


def omit_nil(name: str, value: Any, convert: Callable[[Any], object] = lambda value: value) -> dict[str, Any]:
    """Return the JSON object `{name: convert(value)}`, or `{}` if the value is `None`."""
    return {} if value is None else {name: convert(value)}


def parse_enum(kind: type[_E], text: str, message: str) -> _E:
    """Return the member of the enumeration `kind` whose value is `text`.

    Raises `InvalidParameter` with `message` if there is no such member.
    """
    try:
        return kind(text)
    except ValueError:
        raise InvalidParameter(message) from None


def string_tuple(value: Iterable[Any] | None) -> tuple[str, ...]:
    """Convert a JSON list of strings to a tuple; null becomes `()`."""
    return tuple(value or ())
