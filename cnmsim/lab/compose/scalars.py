"""Conversion of YAML scalars and mappings to strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def scalar_text(value: Any) -> str:
    """Format a YAML scalar as Go prints it, e.g. `true`; null becomes ""."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def string_map(value: Any) -> dict[str, str]:
    """Convert a mapping, or a list of `key=value` items, to a dict of strings. A key without a value gets ""."""
    return {key: item or "" for key, item in nullable_map(value).items()}


def nullable_map(value: Any) -> dict[str, str | None]:
    """Convert a mapping, or a list of `key=value` items, to a dict of strings. A key without a value gets `None`."""
    if isinstance(value, Mapping):
        return {key: None if scalar is None else scalar_text(scalar) for key, scalar in value.items()}
    result: dict[str, str | None] = {}
    for item in value or ():
        key, equals, text = str(item).partition("=")
        result[key] = text if equals else None
    return result
