"""Deadlines in whole nanoseconds of virtual time, for programs that wait.

A loop that waits for a deadline must compare and subtract integers. The difference of two times in floating-point
seconds can round to 0 before the deadline is reached. The loop then waits 0 s again and again, and virtual time
stands still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: A deadline that is never reached. Use it for comparisons only; to wait without a limit, pass `None` as the timeout.
NEVER_NS = 1 << 62
_LONGEST_S = NEVER_NS / NS_PER_S


def to_ns(seconds: float) -> int:
    """Convert seconds to nanoseconds, rounded to an integer. Return `NEVER_NS` for more than 146 years."""
    return round(max(min(seconds, _LONGEST_S), -_LONGEST_S) * NS_PER_S)


def deadline_ns(clock: Clock, seconds: float) -> int:
    """Return the virtual time in nanoseconds that is `seconds` from now."""
    return clock.now_ns + to_ns(seconds)


def remaining_s(clock: Clock, until_ns: int) -> float:
    """Return the number of seconds until the deadline `until_ns`: 0 if it has been reached, otherwise more than 0."""
    return max(0, until_ns - clock.now_ns) / NS_PER_S
