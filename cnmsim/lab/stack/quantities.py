"""Durations, sizes and CPU shares in stack files.

Source: Go `time.ParseDuration`, docker/go-units `size.go` (RAMInBytes), docker/cli `opts/opts.go` (ParseCPUs).
"""

from __future__ import annotations

import re
from fractions import Fraction

_DURATION = re.compile(r"[-+]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:h|ms|us|µs|ns|m|s))+)")
_PARTS = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")
_UNITS_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_MAX_LENGTH = 60


def duration_ns(text: str) -> int:
    """Parse a duration such as `1m30s` and return nanoseconds. Raises `ValueError` if the text is not a duration."""
    if len(text) > _MAX_LENGTH or not _DURATION.fullmatch(text):
        raise ValueError("Does not match format 'duration'")
    total = sum(int(Fraction(f"0{number}") * _UNITS_NS[unit]) for number, unit in _PARTS.findall(text))
    return -total if text.startswith("-") else total


def size_bytes(value: str | int) -> int:
    """Parse a size such as `64m` or `1.5gb` and return bytes; units are powers of 1024.

    Raises `ValueError` if the value is not a size.
    """
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(value) if len(value) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError(f"invalid size: '{value[:_MAX_LENGTH]}'")
    return int(Fraction(match[1]) * 1024 ** _POWERS[match[2].lower()])


def nano_cpus(text: str) -> int:
    """Parse a number of CPUs such as `0.5` and return billionths of a CPU.

    Raises `ValueError` if it is not a number, or not a whole number of billionths.
    """
    try:
        share = Fraction(text) if text.isascii() and len(text) <= _MAX_LENGTH else None
    except (ValueError, ZeroDivisionError):
        share = None
    if share is None:
        raise ValueError(f"failed to parse {text[:_MAX_LENGTH]} as a rational number")
    share *= 1_000_000_000
    if share.denominator != 1:
        raise ValueError("value is too precise")
    return int(share)
