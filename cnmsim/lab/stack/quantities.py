"""Durations, sizes and shares of a processor, as stack files write them.

Source: Go `time.ParseDuration`, docker/go-units `size.go` (RAMInBytes), docker/cli `opts/opts.go` (ParseCPUs).
"""

from __future__ import annotations

import re
from fractions import Fraction

_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|ns|m|s))+)")
_PARTS = re.compile(r"([\d.]+)(h|ms|us|µs|ns|m|s)")
_UNITS_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LONGEST = 60


def duration_ns(text: str) -> int:
    """Read a duration such as `1m30s`, in nanoseconds. Raises `ValueError`."""
    if len(text) > _LONGEST or not _DURATION.fullmatch(text):
        raise ValueError("Does not match format 'duration'")
    total = sum(int(Fraction(f"0{number}") * _UNITS_NS[unit]) for number, unit in _PARTS.findall(text))
    return -total if text.startswith("-") else total


def size_bytes(value: str | int) -> int:
    """Read a size such as `64m` or `1.5gb`, in bytes; the units are powers of 1024. Raises `ValueError`."""
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value) if len(value) <= _LONGEST else None
    if found is None:
        raise ValueError(f"invalid size: '{value[:_LONGEST]}'")
    return int(Fraction(found[1]) * 1024 ** _POWERS[found[2].lower()])


def nano_cpus(text: str) -> int:
    """Read a number of processors such as `0.5`, in billionths of one. Raises `ValueError`."""
    try:
        share = Fraction(text) if len(text) <= _LONGEST else None
    except (ValueError, ZeroDivisionError):
        share = None
    if share is None:
        raise ValueError(f"failed to parse {text[:_LONGEST]} as a rational number")
    share *= 1_000_000_000
    if share.denominator != 1:
        raise ValueError("value is too precise")
    return int(share)
