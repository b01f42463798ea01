"""Periodic jobs of a node. A timer exists only while there is work, so that an idle node costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from cnmsim.kernel.clock import NS_PER_S, Clock, Timer


class Ticker:
    """Calls `job` once at the next tick after `arm` was called, however often `arm` was called.

    Ticks are `interval_s` seconds apart, the first at a random time. The times of the ticks do not depend on when
    `arm` is called.
    """

    __slots__ = ("_clock", "_interval_ns", "_job", "_phase_ns", "_timer")

    def __init__(self, clock: Clock, random: Random, interval_s: float, job: Callable[[], None]) -> None:
        self._clock = clock
        self._interval_ns = round(interval_s * NS_PER_S)
        self._phase_ns = clock.now_ns + random.randrange(self._interval_ns)
        self._job = job
        self._timer: Timer | None = None

    def arm(self) -> None:
        """Call the job once, at the next tick. Do nothing if that call is planned already."""
        if self._timer is not None:
            return
        now_ns, interval_ns = self._clock.now_ns, self._interval_ns
        ticks = max(0, (now_ns - self._phase_ns) // interval_ns + 1)
        before, self._clock.context = self._clock.context, None
        self._timer = self._clock.call_at_ns(self._phase_ns + ticks * interval_ns, self._tick)
        self._clock.context = before

    def stop(self) -> None:
        """Cancel the planned call of the job."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._job()
