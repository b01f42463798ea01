"""Operands of builtins."""

from __future__ import annotations

from cnmsim.digits import is_number


def number_operand(words: list[str], default: int) -> int:
    """Return the number that is the first operand of a builtin, or `default` without one."""
    return int(words[1]) if len(words) > 1 and is_number(words[1]) else default
