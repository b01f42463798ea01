"""The congestion window of TCP: slow start, congestion avoidance and fast recovery (RFC 5681, RFC 6582).

The window does not grow while the sender does not fill it, because the path is then untested (RFC 7661; Linux 6.1
`tcp_cwnd_validate`, `tcp_is_cwnd_limited`), and it shrinks while the connection is idle (`tcp_cwnd_restart`).
"""

from __future__ import annotations

from attrs import define

#: The number of segments that may be sent before the first acknowledgement (RFC 6928; TCP_INIT_CWND in Linux).
INITIAL_SEGMENTS = 10


@define(eq=False)
class CongestionWindow:
    """The congestion window of one connection: `size` and `threshold` (ssthresh) in bytes."""

    mss: int
    size: int = 0
    threshold: int = 1 << 30
    #: SND.MAX at the last detected loss. Further losses below it belong to the same event (the `recover` variable of
    #: RFC 6582).
    recovery_end: int = -1
    #: Whether the window was full in the present round; if it was not, the most bytes that were in flight.
    _is_limiting: bool = False
    _most_in_flight: int = 0
    #: SND.NXT when these two were set: the round ends when it is acknowledged.
    _round_end: int = 0

    def __attrs_post_init__(self) -> None:
        self.size = INITIAL_SEGMENTS * self.mss

    def validate(self, una: int, next_sequence: int) -> None:
        """Record how much of the congestion window is in use after data was sent.

        `una` is the first unacknowledged sequence number (SND.UNA), `next_sequence` the next one to send (SND.NXT).
        """
        in_flight = next_sequence - una
        is_full = in_flight > self.size - self.mss
        if una >= self._round_end or is_full or (not self._is_limiting and in_flight > self._most_in_flight):
            self._is_limiting, self._most_in_flight, self._round_end = is_full, in_flight, next_sequence

    def restart(self, idle_ns: int, rto_ns: int) -> None:
        """Shrink the window after an idle period: halve it once for each retransmission timeout that has passed.

        `idle_ns` is the time without data in flight, `rto_ns` the timeout. The window does not become smaller than
        the initial window.
        """
        least = min(self.size, INITIAL_SEGMENTS * self.mss)
        self.threshold = max(self.threshold, self.size * 3 // 4)
        self.size = max(least, self.size >> min(max(0, idle_ns // rto_ns), 32))

    def acknowledged(self, count: int) -> None:
        """Grow the window after `count` new bytes were acknowledged, if the sender uses the whole window."""
        is_doubling = self.size < self.threshold and self.size < 2 * self._most_in_flight
        if not (self._is_limiting or is_doubling):
            return
        if self.size < self.threshold:
            self.size += min(count, self.mss)
        else:
            self.size += max(1, self.mss * self.mss // self.size)

    def lost(self, in_flight: int, sequence: int) -> None:
        """Halve the window, because duplicate acknowledgements indicate a loss (RFC 5681 §3.2).

        `in_flight` is the number of bytes sent but not acknowledged, `sequence` the number after the last byte sent
        (SND.MAX).
        """
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.threshold
        self.recovery_end = sequence

    def timed_out(self, in_flight: int) -> None:
        """Shrink the window to one segment after a retransmission timeout (RFC 5681 §3.1).

        `in_flight` is the number of bytes sent but not acknowledged.
        """
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.mss
        self.recovery_end = -1
