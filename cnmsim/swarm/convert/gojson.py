"""How Go prints values: empty fields left out, moments as RFC 3339, whole floats as whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

NS_PER_S = 1_000_000_000
ZERO_TIME = "0001-01-01T00:00:00Z"


def rfc3339_nano(at_ns: int) -> str:
    """Print nanoseconds since 1970, as RFC3339Nano; 0 is the moment 1970 began, as protobuf has it."""
    seconds, fraction = divmod(at_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}".rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def omit_empty(*fields: tuple[str, Any]) -> dict[str, Any]:
    """Make an object of those fields that are not empty. An empty *object* stays: Go leaves only nil ones out."""
    return {name: value for name, value in fields if value or (isinstance(value, dict) and value is not EMPTY_MAP)}


#: A map that `omit_empty` leaves out; give it where Go has a map rather than a struct.
EMPTY_MAP: dict[str, str] = {}


def sorted_map(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give a map in the order in which Go prints one; an empty one so that it is left out."""
    return {key: value[key] for key in sorted(value)} if value else EMPTY_MAP


def go_float(value: float) -> float | int:
    """Give a float so that a whole one is printed without a point."""
    return int(value) if value == int(value) else value


def omit_nil(name: str, value: object) -> dict[str, Any]:
    """Make an object of one field unless its value is `None`: Go's pointer with `omitempty`."""
    return {} if value is None else {name: value}


def string_tuple(value: Iterable[Any] | None) -> tuple[str, ...]:
    """Read a list of texts that may be absent."""
    return tuple(value or ())
