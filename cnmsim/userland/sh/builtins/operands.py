"""Parsing of the operands of builtins."""

from __future__ import annotations

from cnmsim.digits import is_number


def number_operand(words: list[str], default: int) -> int:
    """Return the builtin's first operand as a number, or `default` if it is missing or not a number."""
    return int(words[1]) if len(words) > 1 and is_number(words[1]) else default
