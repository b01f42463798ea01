"""Sizes with units, with the syntax and the error texts of docker/go-units (`size.go`, v0.5.0)."""

from __future__ import annotations

from cnmsim.gostrconv import parse_float

_PREFIXES = "kmgtp"


def from_human_size(text: str) -> int:
    """Parse a size such as `10m` into bytes; the units are powers of 1000. Raises `ValueError`."""
    return _parse_size(text, 1000)


def ram_in_bytes(text: str) -> int:
    """Parse a size such as `10m` into bytes; the units are powers of 1024. Raises `ValueError`."""
    return _parse_size(text, 1024)


def _parse_size(text: str, base: int) -> int:
    end = max(text.rfind(char) for char in "0123456789. ")
    if end == -1:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = text[: end + (text[end] != " ")], text[end + 1 :]
    size = parse_float(number)
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    unit = suffix.lower()
    if unit in {"", "b"}:
        return int(size)
    if len(unit) > 3 or unit[0] not in _PREFIXES or unit[1:] not in {"", "b", "ib"}:
        raise ValueError(f"invalid suffix: '{suffix if len(suffix) > 3 else unit}'")
    return int(size * base ** (_PREFIXES.index(unit[0]) + 1))
