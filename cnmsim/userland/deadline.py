"""Deadlines of programs, in whole nanoseconds of virtual time.

A loop that waits until a deadline must compare and subtract integers. Of floating-point seconds the difference can round
to 0 before the deadline is reached: such a loop waits for 0 s over and over, and virtual time stands still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: A deadline that is never reached, for comparisons. Nothing may wait until then: use `None` as the timeout.
NEVER_NS = 1 << 62


def to_ns(seconds: float) -> int:
    """Return a duration in whole nanoseconds."""
    return round(seconds * NS_PER_S)


def deadline_ns(clock: Clock, seconds: float) -> int:
    """Return the virtual time, in nanoseconds, at which `seconds` from now are over."""
    return clock.now_ns + to_ns(seconds)


def remaining_s(clock: Clock, until_ns: int) -> float:
    """Return how many seconds are left until a deadline: 0 once it is reached, and more than 0 before."""
    return max(0, until_ns - clock.now_ns) / NS_PER_S
