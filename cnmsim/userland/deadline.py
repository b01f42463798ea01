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
    """Convert seconds to nanoseconds, rounded to an integer; more than 146 years are `NEVER_NS`."""
    return round(max(min(seconds, _LONGEST_S), -_LONGEST_S) * NS_PER_S)


def deadline_ns(clock: Clock, seconds: float) -> int:
    """Return the virtual time in nanoseconds that is `seconds` from now."""
    return clock.now_ns + to_ns(seconds)


def remaining_s(clock: Clock, until_ns: int) -> float:
    """Return the seconds left until a deadline: 0 once it is reached, more than 0 before."""
    return max(0, until_ns - clock.now_ns) / NS_PER_S
