"""The congestion window of TCP: slow start, congestion avoidance and fast recovery (RFC 5681, RFC 6582)."""

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

    def __attrs_post_init__(self) -> None:
        self.size = INITIAL_SEGMENTS * self.mss

    def acknowledged(self, count: int) -> None:
        """Grow the window after `count` new bytes were acknowledged."""
        if self.size < self.threshold:
            self.size += min(count, self.mss)
        else:
            self.size += max(1, self.mss * self.mss // self.size)

    def lost(self, in_flight: int, sequence: int) -> None:
        """Halve the window, because duplicate acknowledgements indicate a loss (RFC 5681 §3.2).

        `sequence` is the present SND.MAX.
        """
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.threshold
        self.recovery_end = sequence

    def timed_out(self, in_flight: int) -> None:
        """Restart from one segment after a retransmission timeout (RFC 5681 §3.1)."""
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.mss
        self.recovery_end = -1
