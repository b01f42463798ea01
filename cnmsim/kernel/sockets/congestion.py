"""How fast TCP sends and how long it waits: retransmission timeout (RFC 6298) and congestion window (RFC 5681)."""

from __future__ import annotations

from attrs import define

_INITIAL_RTO_S = 1.0
_MIN_RTO_S = 0.2  # Linux: TCP_RTO_MIN
_MAX_RTO_S = 120.0
_INITIAL_SEGMENTS = 10  # RFC 6928


@define(eq=False)
class RetransmissionTimeout:
    """The timeout, computed from measured round trips and doubled with each that passes. In seconds."""

    rto_s: float = _INITIAL_RTO_S
    _srtt_s: float = -1.0
    _rttvar_s: float = 0.0

    def sample(self, rtt_s: float) -> None:
        """Take a measured round trip (of a segment that was sent once) into account."""
        if self._srtt_s < 0:
            self._srtt_s, self._rttvar_s = rtt_s, rtt_s / 2
        else:
            self._rttvar_s += (abs(self._srtt_s - rtt_s) - self._rttvar_s) / 4
            self._srtt_s += (rtt_s - self._srtt_s) / 8
        self.reset()

    def reset(self) -> None:
        """Undo the doubling: something new was acknowledged."""
        # As Linux does, the minimum applies to the variance term.
        measured = self._srtt_s + max(4 * self._rttvar_s, _MIN_RTO_S)
        self.rto_s = _INITIAL_RTO_S if self._srtt_s < 0 else min(measured, _MAX_RTO_S)

    def back_off(self) -> None:
        """Double it: it passed without an acknowledgement."""
        self.rto_s = min(self.rto_s * 2, _MAX_RTO_S)


@define(eq=False)
class CongestionWindow:
    """Slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582). Sizes in bytes."""

    mss: int
    size: int = 0
    threshold: int = 1 << 30
    # The highest sequence sent when a loss was found: until it is acknowledged, the loss counts once.
    recovery_end: int = -1

    def __attrs_post_init__(self) -> None:
        self.size = _INITIAL_SEGMENTS * self.mss

    def acknowledged(self, count: int) -> None:
        """Grow: `count` new bytes were acknowledged."""
        if self.size < self.threshold:
            self.size += min(count, self.mss)
        else:
            self.size += max(1, self.mss * self.mss // self.size)

    def lost(self, in_flight: int, sequence: int) -> None:
        """Halve: a segment was lost while others arrived."""
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.threshold
        self.recovery_end = sequence

    def timed_out(self, in_flight: int) -> None:
        """Begin again with one segment."""
        self.threshold = max(in_flight // 2, 2 * self.mss)
        self.size = self.mss
        self.recovery_end = -1
