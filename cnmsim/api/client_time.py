"""Conversion of timestamps that clients derive from their own clock to the lab's time.

`docker logs --since 10m` and `docker events --until 1m` send a time of day that the client has computed from its own
clock. The lab's clock differs from that clock if virtual time has skipped ahead or stood still. The clock driver
therefore records pairs of simultaneous readings of both clocks, and a client's time is converted to the lab's time at
the same moment.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.engine.wire.timestamps import is_unix_time, parse_timestamp
from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: Differences between the clocks that are too small to convert anything.
_EXACT_NS = 1_000_000
#: Readings this close are on one line.
_SAME_NS = 1_000_000
#: A time of the client's is at most this far ahead of the server's clock.
_SKEW_NS = 2 * NS_PER_S
_FAR_NS = 366 * 86400 * NS_PER_S
_KEPT = 4096


@define(eq=False)
class ClientTime:
    """Pairs of simultaneous readings of the machine's clock and the lab's clock, oldest first.

    The pairs convert a time of the machine's clock to the lab's time. All times are in nanoseconds since 1970.
    """

    clock: Clock
    _readings: deque[tuple[int, int]] = field(factory=lambda: deque(maxlen=_KEPT), init=False)

    def note(self) -> None:
        """Record the present readings of both clocks."""
        reading = (time.time_ns(), self.clock.unix_ns)
        readings = self._readings
        if len(readings) > 1 and (_is_line(readings[-2], readings[-1], reading)):
            readings.pop()
        readings.append(reading)

    def to_lab(self, client_ns: int) -> int:
        """Convert a time of the machine's clock, `client_ns`, to the time that the lab's clock showed at that moment.

        Between two readings the time is interpolated; after the last reading it is shifted by the difference of the
        clocks at that reading. A `client_ns` before the first reading is assumed to be a time of the lab and returned
        unchanged, unless it is later than the lab's present time: it is then shifted by the difference at the first
        reading.
        """
        self.note()
        readings = self._readings
        first, last = readings[0], readings[-1]
        if client_ns >= last[0]:
            return last[1] + client_ns - last[0]
        if client_ns < first[0]:
            return client_ns if client_ns <= last[1] else client_ns - first[0] + first[1]
        index = bisect_right(readings, client_ns, key=lambda reading: reading[0])
        (real, lab), (next_real, next_lab) = readings[index - 1], readings[index]
        return lab + (next_lab - lab) * (client_ns - real) // max(next_real - real, 1)

    def convert(self, parameters: dict[str, str], is_lab_time: Callable[[int], bool] | None = None) -> dict[str, str]:
        """Return query parameters in which `since` and `until` are converted from the client's time to the lab's.

        Times that the client has read from the lab's output are not converted: those for which `is_lab_time` returns
        True, and a `since` in the client's future. An `until` more than a year ahead means no limit and is not
        converted either.
        """
        converted = dict(parameters)
        lab_ns, real_ns = self.clock.unix_ns, time.time_ns()
        for key in ("since", "until"):
            text = parameters.get(key, "")
            if not text or text == "0":
                continue
            if not is_unix_time(text):
                continue  # clients send the seconds since 1970; the engine refuses anything else
            client_ns = parse_timestamp(text, lab_ns)
            is_ahead = client_ns > real_ns + (_SKEW_NS if key == "since" else _FAR_NS)
            if is_ahead or (is_lab_time and is_lab_time(client_ns)):
                continue
            time_ns = self.to_lab(client_ns)
            if abs(time_ns - client_ns) > _EXACT_NS:
                converted[key] = f"{time_ns // NS_PER_S}.{time_ns % NS_PER_S:09d}"
        return converted


def _is_line(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> bool:
    """Return True if the second of three readings can be dropped, because it can be interpolated from the others.

    This is so if the lab's clock stood still, or kept step with the machine's clock.
    """
    stood = first[1] == second[1] == third[1]
    offsets = [lab - real for real, lab in (first, second, third)]
    return stood or max(offsets) - min(offsets) < _SAME_NS
