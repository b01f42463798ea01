"""Round-trip estimation and the retransmission timeout of TCP (RFC 6298, with the bounds of Linux)."""

from __future__ import annotations

from attrs import define

from cnmsim.kernel.clock import NS_PER_S

#: The timeout before the first measurement, and the limits of a measured one (TCP_TIMEOUT_INIT, TCP_RTO_MIN and
#: TCP_RTO_MAX in include/net/tcp.h).
INITIAL_RTO_NS = NS_PER_S
MIN_RTO_NS = NS_PER_S // 5
MAX_RTO_NS = 120 * NS_PER_S


@define(eq=False)
class RttEstimator:
    """The smoothed round-trip time of one connection and the timeout derived from it.

    `rto_ns` is the retransmission timeout in nanoseconds; it doubles with every expiry.
    """

    rto_ns: int = INITIAL_RTO_NS
    _srtt_ns: int = -1
    _rttvar_ns: int = 0

    def sample(self, rtt_ns: int) -> None:
        """Update the estimate with the measured round-trip time of a segment.

        The segment must have been sent only once (Karn's algorithm, RFC 6298 §3).
        """
        if self._srtt_ns < 0:
            self._srtt_ns, self._rttvar_ns = rtt_ns, rtt_ns // 2
        else:
            self._rttvar_ns += (abs(self._srtt_ns - rtt_ns) - self._rttvar_ns) // 4
            self._srtt_ns += (rtt_ns - self._srtt_ns) // 8
        self.reset()

    def reset(self) -> None:
        """Undo the doubling of the timeout, because new data was acknowledged."""
        if self._srtt_ns < 0:
            self.rto_ns = INITIAL_RTO_NS
        else:
            # Linux applies the minimum to the variance term, not to the sum (tcp_rtt_estimator).
            self.rto_ns = min(self._srtt_ns + max(4 * self._rttvar_ns, MIN_RTO_NS), MAX_RTO_NS)

    def back_off(self) -> None:
        """Double the timeout, because it expired without an acknowledgement (RFC 6298 §5.5)."""
        self.rto_ns = min(self.rto_ns * 2, MAX_RTO_NS)
