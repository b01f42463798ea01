"""The closed list of verdicts on a probe.

*Refused* is a reply from a live host (a reset, or port unreachable), *unreachable* an ICMP error or a stack without a
route, *timeout* silence. The verdict follows from what the sender saw alone, never from what only the trace shows
(`diagnose.verdict_of`).
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What the sender of a probe saw in the end."""

    ANSWERED = "answered"  # a connection was established, a datagram or an echo request was answered
    DELIVERED = "delivered"  # a socket received the datagram and (as UDP programs may) sent nothing back
    REFUSED = "refused"  # RST or ICMP port unreachable: the path is open, no socket is bound
    UNREACHABLE = "unreachable"  # another ICMP error came back, or the sender's own stack had no route
    TIMEOUT = "timeout"  # silence
    NAME_NOT_FOUND = "name not found"  # only queries for the name were ever sent

    @property
    def is_reachable(self) -> bool:
        """Whether the destination received what was sent to it."""
        return self in {Verdict.ANSWERED, Verdict.DELIVERED}
