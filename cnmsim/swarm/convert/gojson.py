"""Go's `encoding/json` conventions: `omitempty`, RFC 3339 timestamps, whole floats printed as integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

NS_PER_S = 1_000_000_000
ZERO_TIME = "0001-01-01T00:00:00Z"


def rfc3339_nano(at_ns: int) -> str:
    """Format nanoseconds since 1970 as RFC3339Nano. 0 is the epoch itself, as in protobuf, not Go's zero time."""
    seconds, fraction = divmod(at_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}".rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def omit_empty(*fields: tuple[str, Any]) -> dict[str, Any]:
    """Return an object of the fields that are not empty. An empty *object* is kept: Go omits only nil structs."""
    return {name: value for name, value in fields if value or (isinstance(value, dict) and value is not EMPTY_MAP)}


#: An empty map that `omit_empty` omits: stands for a Go map, where `{}` stands for a struct.
EMPTY_MAP: dict[str, str] = {}


def sorted_map(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a map with its keys sorted, as Go prints it; `EMPTY_MAP` if it is empty."""
    return {key: value[key] for key in sorted(value)} if value else EMPTY_MAP


def go_float(value: float) -> float | int:
    """Return a float as an integer if it is whole, so that it is printed without a decimal point."""
    return int(value) if value == int(value) else value


def omit_nil(name: str, value: object) -> dict[str, Any]:
    """Return an object of one field, empty if the value is `None`: a Go pointer with `omitempty`."""
    return {} if value is None else {name: value}


def string_tuple(value: Iterable[Any] | None) -> tuple[str, ...]:
    """Read a list of strings that may be null."""
    return tuple(value or ())
